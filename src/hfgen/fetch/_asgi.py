"""`from_asgi`: an application answers in process."""

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
# Seconds that an application has, once its client has left, before it is cancelled.
_GRACE = 1.0


def from_asgi(app: App) -> AsyncFetch:
    """Return a `fetch` for `AsyncClient` that asks an ASGI application, in process.

    The application runs as a task of the client's loop, and its body arrives piece by piece: it
    waits in `send` until the piece before has been read. When the client leaves early, `receive`
    gives it `http.disconnect` and `send` raises an `OSError`; if it does not end within a second,
    it is cancelled. There is no lifespan.

    What the application raises before it has begun its answer is the cause of an `HfgenError`;
    what it raises later breaks the answer as a lost connection would.

    Args:
        app: An ASGI 3 application: `await app(scope, receive, send)`.

    Raises:
        TypeError: It cannot be called.
    """
    if not callable(app):
        raise TypeError(f"from_asgi takes an ASGI application, not {type(app).__name__}")

    async def fetch(request: FetchRequest) -> FetchResponse:
        exchange = _Exchange(app, request)
        try:
            status, headers = await exchange.started()
        except BaseException:
            _spawn(exchange.close())
            raise
        return FetchResponse(status=status, headers=headers, body=exchange, close=exchange.close)

    return fetch


class _Exchange:
    """One request and its answer: the application on one side, the reader on the other."""

    def __init__(self, app: App, request: FetchRequest) -> None:
        self._request = request
        self._asked = False
        self._start: Message | None = None
        # At most one piece: the application waits for its reader.
        self._piece = b""
        self._whole = self._left = False
        self._error: Exception | None = None
        self._bell = asyncio.Event()
        self._task = _spawn(self._run(app))
        self._task.add_done_callback(lambda _: self._ring())

    async def started(self) -> tuple[int, dict[str, str]]:
        """Wait for the start of the answer; return its status and headers."""
        await self._wait(lambda: self._start is not None or self._task.done())
        if self._start is None:
            raise HfgenError(f"the ASGI application {self._end()}") from self._error
        headers = {
            bytes(name).decode("latin-1"): bytes(value).decode("latin-1")
            for name, value in self._start.get("headers", ())
        }
        return self._start["status"], headers

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await self._wait(lambda: bool(self._piece) or self._whole or self._task.done())
        if self._piece:
            piece, self._piece = self._piece, b""
            self._ring()
            return piece
        if self._whole:
            raise StopAsyncIteration
        raise ConnectError(f"the ASGI application {self._end()}") from self._error

    async def close(self) -> None:
        """Leave; see to it that the application ends, unless it has said all that it has to."""
        self._left = True
        self._ring()
        if self._whole:
            # What it does after its answer, as background tasks do, is its own business.
            return
        await asyncio.wait({self._task}, timeout=_GRACE)
        self._task.cancel()

    async def _run(self, app: App) -> None:
        try:
            await app(_scope(self._request), self._receive, self._send)
        except Exception as error:
            self._error = error
            if self._whole:
                log.exception("the ASGI application failed after its answer")

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        await self._until(lambda: self._left or self._whole)
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        begun = self._start is not None
        if message["type"] == "http.response.start" and not begun:
            self._start = message
        elif message["type"] == "http.response.body" and begun and not self._whole:
            await self._until(lambda: not self._piece or self._left)
            self._piece = bytes(message.get("body", b""))
            self._whole = not message.get("more_body", False)
        else:
            raise RuntimeError(f"{message['type']} is not expected here")
        if self._left and not self._whole:
            raise ConnectionResetError("the client has left")
        self._ring()

    async def _wait(self, condition: Callable[[], bool]) -> None:
        """Wait as the reader does: not for ever."""
        try:
            async with asyncio.timeout(self._request.timeout):
                await self._until(condition)
        except builtins.TimeoutError:
            where, seconds = redact_url(self._request.url), self._request.timeout
            raise TimeoutError(f"{where} sent nothing for {seconds:g} s (timeout)") from None

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._bell.wait()

    def _ring(self) -> None:
        """Have all who wait look again."""
        self._bell.set()
        self._bell = asyncio.Event()

    def _end(self) -> str:
        what = "its answer was whole" if self._start else "it had begun its answer"
        how = f"raised {self._error!r}" if self._error else "ended"
        return f"{how} before {what}"


# A loop holds its tasks weakly.
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
        # Not 2.4: by that, frameworks would wait for `send` to fail before they stop.
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
