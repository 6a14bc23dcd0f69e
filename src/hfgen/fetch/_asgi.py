"""`from_asgi`: a `fetch` over an ASGI application, which answers in process."""

from __future__ import annotations

import asyncio
import builtins
import logging
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from hfgen._core.errors import ConnectError, HfgenError, TimeoutError  # noqa: A004
from hfgen._core.fetch import FetchRequest, FetchResponse
from hfgen._core.url import redact_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping

    from hfgen._core.fetch import AsyncFetch

    Message: TypeAlias = MutableMapping[str, Any]
    App: TypeAlias = Callable[
        [
            MutableMapping[str, Any],
            Callable[[], Awaitable[Message]],
            Callable[[Message], Awaitable[None]],
        ],
        Awaitable[None],
    ]

log = logging.getLogger("hfgen")

_PORTS = {"http": 80, "https": 443}
# Seconds from the disconnect of the client until the application is cancelled.
_GRACE = 1.0


def from_asgi(app: App) -> AsyncFetch:
    """Return a `fetch` for `AsyncClient` that calls an ASGI application, in process.

    The application runs as a task of the client's loop. Its body arrives piece by piece: `send`
    waits until the piece before has been read. When the client closes the answer early, `receive`
    returns `http.disconnect` and `send` raises an `OSError`; if the application does not end within
    a second, it is cancelled. There are no lifespan events.

    An exception that the application raises before its answer becomes the cause of an `HfgenError`;
    a later one breaks the answer, as a lost connection would.

    Args:
        app: An ASGI 3 application: `await app(scope, receive, send)`.

    Raises:
        TypeError: `app` cannot be called.
    """
    if not callable(app):
        raise TypeError(f"from_asgi takes an ASGI application, not {type(app).__name__}")

    async def fetch(request: FetchRequest) -> FetchResponse:
        exchange = _Exchange(app, request)
        try:
            status, headers = await exchange.wait_for_start()
        except BaseException:
            _spawn(exchange.close())
            raise
        return FetchResponse(status=status, headers=headers, body=exchange, close=exchange.close)

    return fetch


class _Exchange:
    """One request and its answer: the application on one side, the reader on the other."""

    def __init__(self, app: App, request: FetchRequest) -> None:
        self._request = request
        self._is_request_read = False
        self._start: Message | None = None
        # At most one piece: `send` waits until it has been read.
        self._piece = b""
        self._is_whole = self._is_closed = False
        self._error: Exception | None = None
        self._change = asyncio.Event()
        self._task = _spawn(self._run(app))
        self._task.add_done_callback(lambda _: self._notify())

    async def wait_for_start(self) -> tuple[int, dict[str, str]]:
        """Wait for the start of the answer; return its status and headers."""
        await self._wait(lambda: self._start is not None or self._task.done())
        if self._start is None:
            raise HfgenError(f"the ASGI application {self._describe_end()}") from self._error
        headers = {
            bytes(name).decode("latin-1"): bytes(value).decode("latin-1")
            for name, value in self._start.get("headers", ())
        }
        return self._start["status"], headers

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await self._wait(lambda: bool(self._piece) or self._is_whole or self._task.done())
        if self._piece:
            piece, self._piece = self._piece, b""
            self._notify()
            return piece
        if self._is_whole:
            raise StopAsyncIteration
        raise ConnectError(f"the ASGI application {self._describe_end()}") from self._error

    async def close(self) -> None:
        """Disconnect; cancel the application if its answer is not whole and it does not end."""
        self._is_closed = True
        self._notify()
        if self._is_whole:
            # The application may run background tasks after its answer.
            return
        await asyncio.wait({self._task}, timeout=_GRACE)
        self._task.cancel()

    async def _run(self, app: App) -> None:
        try:
            await app(_scope(self._request), self._receive, self._send)
        except Exception as error:
            self._error = error
            if self._is_whole:
                log.exception("the ASGI application failed after its answer")

    async def _receive(self) -> Message:
        if not self._is_request_read:
            self._is_request_read = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        await self._until(lambda: self._is_closed or self._is_whole)
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        has_begun = self._start is not None
        if message["type"] == "http.response.start" and not has_begun:
            self._start = message
        elif message["type"] == "http.response.body" and has_begun and not self._is_whole:
            await self._until(lambda: not self._piece or self._is_closed)
            self._piece = bytes(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
        else:
            raise RuntimeError(f"{message['type']} is not expected here")
        if self._is_closed and not self._is_whole:
            raise ConnectionResetError("the client has left")
        self._notify()

    async def _wait(self, condition: Callable[[], bool]) -> None:
        """Wait for the condition, at most the timeout of the request."""
        try:
            async with asyncio.timeout(self._request.timeout):
                await self._until(condition)
        except builtins.TimeoutError:
            server, seconds = redact_url(self._request.url), self._request.timeout
            raise TimeoutError(f"{server} sent nothing for {seconds:g} s (timeout)") from None

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._change.wait()

    def _notify(self) -> None:
        """Let each waiter check its condition again."""
        self._change.set()
        self._change = asyncio.Event()

    def _describe_end(self) -> str:
        moment = "its answer was whole" if self._start else "it had begun its answer"
        event = f"raised {self._error!r}" if self._error else "ended"
        return f"{event} before {moment}"


# A loop refers to its tasks only weakly.
_tasks: set[asyncio.Task[None]] = set()


def _spawn(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(coroutine)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


def _scope(request: FetchRequest) -> Message:
    url = urlsplit(request.url)
    headers = {"host": url.netloc, **request.headers}
    if request.body:
        headers["content-length"] = str(len(request.body))
    path = url.path or "/"
    return {
        "type": "http",
        # Not 2.4, with which frameworks stop only once `send` fails.
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": unquote(path),
        "raw_path": path.encode("ascii"),
        "query_string": url.query.encode("ascii"),
        "root_path": "",
        "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": (url.hostname, url.port or _PORTS.get(url.scheme)),
    }
