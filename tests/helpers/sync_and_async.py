"""Sync and async under one interface, so that a test is written once and runs on both.

Clients and streams are the real ones. `call` does what differs: on the async side it awaits. The
loops over streams are real `for` and `async for` loops.
"""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import hfgen


class LeaveStream(Exception):  # noqa: N818 - it is no error, but a way out
    """Raised by a test inside a loop over a stream."""


class Side:
    """The common part of `Sync` and `Async`."""

    name = ""

    def __init__(self):
        self._clients = []

    def client(self, **options):
        """Return a client that is closed after the test."""
        client = self.client_class(**options)
        self._clients.append(client)
        return client

    def run(self, server, request="Once", **options):
        return self._verb("run", server, request, options)

    def stream(self, server, request="Once", **options):
        return self._verb("stream", server, request, options)

    def stream_tokens(self, server, request="Once", **options):
        return self._verb("stream_tokens", server, request, options)

    def stream_bytes(self, server, request="Once", **options):
        return self._verb("stream_bytes", server, request, options)

    def _verb(self, verb, server, request, options):
        if server is not None:
            options.setdefault("api_url", f"{server.url}/generate")
        if not self._clients:
            self.client()
        return self.call(getattr(self._clients[0], verb), request, **options)

    def outcome(self, verb, server, **options):
        """Return the answer of `run`, or the items of a stream."""
        result = getattr(self, verb)(server, **options)
        return result if verb == "run" else self.collect(result)

    def failure(self, function, *args, **options):
        """Return the error of hfgen that the call raises."""
        try:
            self.call(function, *args, **options)
        except hfgen.HfgenError as error:
            return error
        raise AssertionError("no error was raised")


class Sync(Side):
    name = "sync"
    client_class = hfgen.Client
    namespace = hfgen.HuggingFaceTextGeneration

    def call(self, function, *args, **options):
        return function(*args, **options)

    def collect(self, stream, into=None):
        """Return what is left in a stream; `into` has it also if the stream fails."""
        items = [] if into is None else into
        for item in stream:
            items.append(item)
        return items

    def next(self, stream):
        return next(stream)

    def close(self, stream):
        stream.close()

    def close_client(self, client):
        client.close()

    def leave_by_break(self, stream, count):
        items = []
        for item in stream:
            items.append(item)
            if len(items) == count:
                break
        return items

    def leave_by_exception(self, stream):
        for _ in stream:
            raise LeaveStream

    def leave_by_context(self, stream):
        with stream:
            next(stream)

    def sleep(self, seconds):
        time.sleep(seconds)

    def wait_for(self, event):
        """Wait for a `threading.Event`; the loop, where there is one, goes on meanwhile."""
        assert event.wait(10)

    def fetch(self, answer):
        """Make a `fetch` of a function from a `FetchRequest` to `reply(...)`."""

        def fetch(request):
            reply = answer(request)
            return hfgen.FetchResponse(
                status=reply.status, headers=reply.headers, body=reply.body, close=reply.close
            )

        return fetch

    def finish(self):
        for client in self._clients:
            client.close()


class Async(Side):
    name = "async"
    client_class = hfgen.AsyncClient
    namespace = hfgen.AsyncHuggingFaceTextGeneration

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()

    def call(self, function, *args, **options):
        async def call():
            return await function(*args, **options)

        return self.runner.run(call())

    def collect(self, stream, into=None):
        """Return what is left in a stream; `into` has it also if the stream fails."""
        items = [] if into is None else into

        async def collect():
            async for item in stream:
                items.append(item)

        self.runner.run(collect())
        return items

    def next(self, stream):
        async def read_next():
            try:
                return await anext(stream)
            except StopAsyncIteration:
                return None

        if (item := self.runner.run(read_next())) is None:
            raise StopIteration
        return item

    def close(self, stream):
        self.call(stream.aclose)

    def close_client(self, client):
        self.call(client.aclose)

    def leave_by_break(self, stream, count):
        items = []

        async def leave():
            async for item in stream:
                items.append(item)
                if len(items) == count:
                    break

        self.runner.run(leave())
        return items

    def leave_by_exception(self, stream):
        async def leave():
            async for _ in stream:
                raise LeaveStream

        self.runner.run(leave())

    def leave_by_context(self, stream):
        async def leave():
            async with stream:
                await anext(stream)

        self.runner.run(leave())

    def sleep(self, seconds):
        self.runner.run(asyncio.sleep(seconds))

    def wait_for(self, event):
        """Wait for a `threading.Event`; the loop, where there is one, goes on meanwhile."""
        assert self.runner.run(asyncio.to_thread(event.wait, 10))

    def fetch(self, answer):
        """Make a `fetch` of a function from a `FetchRequest` to `reply(...)`."""

        async def pieces(body):
            for piece in body:
                yield piece

        async def fetch(request):
            reply = answer(request)
            return hfgen.FetchResponse(
                status=reply.status,
                headers=reply.headers,
                body=pieces(reply.body),
                close=reply.close,
            )

        return fetch

    def finish(self):
        for client in self._clients:
            self.call(client.aclose)
        self.runner.close()


def reply(*body, status=200, close=lambda: None, **headers):
    """What a `fetch` double answers; as a single argument, `body` may be any iterable of bytes."""
    pieces = body[0] if len(body) == 1 and not isinstance(body[0], bytes) else body
    dashed = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(status=status, headers=dashed, body=pieces, close=close)
