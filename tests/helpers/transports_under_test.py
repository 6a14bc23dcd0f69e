"""Everything that makes a request for hfgen: its own transports, and each adapter."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import ExitStack
from types import SimpleNamespace

import aiohttp
import httpx
import httpx2
import requests

from helpers.sync_and_async import Async, Sync
from hfgen.fetch import from_aiohttp, from_asgi, from_httpx, from_requests
from hfgen.testing import Cut, Hang, Pause, RecordedRequest, ScriptedServer

# Shared, because making one takes longer than a test.
_TLS = ssl.create_default_context()


class TransportUnderTest:
    """A side whose one client makes its requests through this transport."""

    name = ""
    side_class = Sync
    has_sockets = True
    keeps_cookies = False

    def __init__(self):
        self.side = self.side_class()
        self.fetch = self._fetch()
        self.client = self.side.client(**({} if self.fetch is None else {"fetch": self.fetch}))
        self._servers = ExitStack()

    def _fetch(self):
        return None

    def serve(self, *script, **options):
        return self._servers.enter_context(ScriptedServer(*script, **options))

    def ask(self, request):
        """Call the transport itself with a request; return the `FetchResponse`."""
        fetch = self.fetch or self.client._session._transport
        return self.side.call(fetch, request)

    def _close(self):
        pass

    def finish(self):
        self._servers.close()
        self.side.call(self._aclose) if self.side.name == "async" else self._close()
        self.side.finish()

    async def _aclose(self):
        pass


class Urllib3(TransportUnderTest):
    name = "sync default"


class Aiohttp(TransportUnderTest):
    name = "async default"
    side_class = Async


class Httpx(TransportUnderTest):
    name = "sync httpx"
    library = httpx

    def _fetch(self):
        self.http = self.library.Client(verify=_TLS)
        return from_httpx(self.http)

    def _close(self):
        self.http.close()


class Httpx2(Httpx):
    name = "sync httpx2"
    library = httpx2


class Requests(TransportUnderTest):
    name = "sync requests"

    def _fetch(self):
        self.http = requests.Session()
        return from_requests(self.http)

    def _close(self):
        self.http.close()


class AsyncHttpx(TransportUnderTest):
    name = "async httpx"
    side_class = Async
    library = httpx

    def _fetch(self):
        self.http = self.library.AsyncClient(verify=_TLS)
        return from_httpx(self.http)

    async def _aclose(self):
        await self.http.aclose()


class AsyncHttpx2(AsyncHttpx):
    name = "async httpx2"
    library = httpx2


class AiohttpSession(TransportUnderTest):
    name = "async aiohttp"
    side_class = Async

    def _fetch(self):
        async def make():
            return aiohttp.ClientSession()

        self.http = self.side.call(make)
        return from_aiohttp(self.http)

    async def _aclose(self):
        await self.http.close()


class Asgi(TransportUnderTest):
    name = "async asgi"
    side_class = Async
    has_sockets = False

    def _fetch(self):
        self.apps = {}

        async def app(scope, receive, send):
            await self.apps[scope["server"][0]](scope, receive, send)

        return from_asgi(app)

    def serve(self, *script):
        app = ScriptedApp(*script)
        host = f"app{len(self.apps)}.invalid"
        self.apps[host] = app
        app.url = f"http://{host}"
        return app


class ScriptedApp:
    """What `ScriptedServer` does, as an ASGI application."""

    def __init__(self, *script):
        self._script = script
        self._request_added = threading.Condition()
        self.requests = []
        self.connections = 1
        self.url = ""

    def request(self, index=0):
        """Wait for a request, and return it."""
        with self._request_added:
            assert self._request_added.wait_for(lambda: len(self.requests) > index, timeout=10)
            return self.requests[index]

    async def __call__(self, scope, receive, send):
        message = await receive()
        assert message["more_body"] is False
        path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        headers = {n.decode(): v.decode() for n, v in scope["headers"]}
        request = RecordedRequest(
            scope["method"], path.decode(), headers, message["body"], connection=1
        )
        with self._request_added:
            answer = self._script[min(len(self.requests), len(self._script) - 1)]
            self.requests.append(request)
            self._request_added.notify_all()
        if answer.framing != "raw":
            headers = [(n.encode(), v.encode()) for n, v in answer.headers]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        try:
            for step in answer.body:
                if isinstance(step, bytes):
                    await send({"type": "http.response.body", "body": step, "more_body": True})
                elif isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                elif isinstance(step, Cut):
                    return
                elif isinstance(step, Hang):
                    assert (await receive())["type"] == "http.disconnect"
                    request.hung_up.set()
                    return
            await send({"type": "http.response.body"})
        except OSError:
            request.hung_up.set()


TRANSPORTS = [
    Urllib3,
    Httpx,
    Httpx2,
    Requests,
    Aiohttp,
    AsyncHttpx,
    AsyncHttpx2,
    AiohttpSession,
    Asgi,
]
SOCKET_TRANSPORTS = [transport for transport in TRANSPORTS if transport.has_sockets]


def find_secret(error, secret, visited=None):
    """Return the attribute paths that lead from an error to a secret, except by its traceback."""
    visited = {} if visited is None else visited
    found = []
    stack = [("error", error)]
    while stack:
        path, value = stack.pop()
        if id(value) in visited or path.count(".") > 12:
            continue
        visited[id(value)] = value
        if isinstance(value, str | bytes):
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            if secret in text:
                found.append(path)
        elif isinstance(value, dict):
            stack += [(f"{path}.{key!r}", inner) for key, inner in list(value.items())]
            stack += [(f"{path}.keys", key) for key in list(value)]
        elif isinstance(value, list | tuple | set | frozenset):
            stack += [(f"{path}.{n}", inner) for n, inner in enumerate(list(value))]
        elif isinstance(value, BaseException):
            stack += [(f"{path}.args", value.args), (f"{path}.vars", vars(value))]
            stack += [(f"{path}.cause", value.__cause__), (f"{path}.context", value.__context__)]
        elif value is not None and not isinstance(value, type | SimpleNamespace):
            stack.append((f"{path}.repr", repr(value)))
            if hasattr(value, "__dict__"):
                stack.append((f"{path}.vars", vars(value)))
    return found
