"""Accepts connections, and closes those whose clients keep it waiting.

A connection waits while its client has to send something: a request, or the rest of one. Each wait
has a time limit. At the limit of connections, or of open files, a new connection takes the place of
the one that has waited longest; if none waits, new ones stay in the queue of the operating system.

asyncio's own server is not used: at the limit of open files it logs the error up to a hundred times
a second, and accepts no connection until another one ends.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http import HttpProcessingError

from hfgen.server.http.request_log import (
    CLIENT_LEFT,
    LOGGER,
    REQUEST_ID,
    choose_request_id,
    log_malformed,
    log_request,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hfgen.server._options import ServerOptions

# Seconds for which a connection may wait before another takes its place. What its client has sent
# may not have been read yet.
_PATIENCE = 0.25
# Seconds until the next attempt, after a connection could not be accepted.
_RETRY = 1.0
# At the limit of open files, a warning is logged at most once in this time, in seconds.
_WARNING_INTERVAL = 60.0
# The process or the system has no more files or memory for connections.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Connections:
    """All connections of a server, and the socket that accepts them.

    Args:
        server: aiohttp's server, which answers the requests.
        options: The limits.
    """

    def __init__(self, server: web.Server, options: ServerOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = server
        self._answer = server.request_handler
        server.request_handler = self._handle
        self._limit = options.max_connections
        self._options = options
        self._open: set[Connection] = set()
        # Since when a connection waits. The one that has waited longest is first.
        self._waiting: dict[Connection, float] = {}
        self._accepting: set[asyncio.Task[Any]] = set()
        self._listener: socket.socket | None = None
        self._fallback: asyncio.Server | None = None
        # Set while no connections are accepted.
        self._resumption: asyncio.TimerHandle | None = None
        self._warned_at: float | None = None

    async def start(self, listener: socket.socket) -> None:
        """Begin to accept connections from a listening socket."""
        listener.setblocking(False)
        try:
            self._loop.add_reader(listener, self._accept)
        except NotImplementedError:  # on Windows, where nothing limits the connections
            self._fallback = await self._loop.create_server(self._make_connection, sock=listener)
        self._listener = listener

    async def stop(self) -> None:
        """Accept no more connections, and close the listening socket. The others stay open."""
        listener, self._listener = self._listener, None
        if self._fallback is not None:
            self._fallback.close()
        elif listener is not None:
            self._loop.remove_reader(listener)
            listener.close()
        # Otherwise their sockets would never be closed: the server does not know them yet.
        await asyncio.gather(*self._accepting, return_exceptions=True)

    def add(self, connection: Connection) -> None:
        self._open.add(connection)
        self.begin_wait(connection)

    def remove(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        self._resume()

    def begin_wait(self, connection: Connection) -> None:
        """The connection waits for its client."""
        if connection in self._open:
            self._waiting[connection] = self._loop.time()
            self._resume()

    def end_wait(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("Connection", request.protocol)
        self.end_wait(connection)
        request[REQUEST_ID] = choose_request_id(request.headers)
        began_at = perf_counter()
        response: web.StreamResponse | None = None
        try:
            response = await self._answer(request)
        except web.HTTPException as error:
            response = error
            raise
        except ConnectionError:
            # The client has disconnected, and a write failed before aiohttp cancelled the handler.
            # This answer is never sent; raising would make aiohttp log an error of the server.
            return web.Response(status=CLIENT_LEFT)
        except Exception:
            response = web.Response(status=500)
            raise
        finally:
            log_request(request, response, perf_counter() - began_at)
            self.begin_wait(connection)
        return response

    def _make_connection(self) -> Connection:
        return Connection(self, self._server, self._options)

    def _accept(self) -> None:
        """Accept one connection. Called as long as the listening socket has some."""
        assert self._listener is not None
        if len(self._open) + len(self._accepting) >= self._limit:
            self._make_room(f"{self._limit} connections are open")
            return
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._make_room(str(error.strerror))
            else:
                self._warn(str(error.strerror))
                self._pause(_RETRY)
            return
        sock.setblocking(False)
        limit_unread_answer(sock, self._options.client_timeout)
        task = self._loop.create_task(
            self._loop.connect_accepted_socket(self._make_connection, sock)
        )
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    def _make_room(self, reason: str) -> None:
        """Close the connection that has waited longest; without one, accept none for a while."""
        for connection, since in self._waiting.items():
            transport = connection.transport
            if transport is None or transport.get_write_buffer_size():
                continue  # its last answer is still being sent
            patience = since + _PATIENCE - self._loop.time()
            if patience > 0:
                self._pause(patience)
            else:
                self.end_wait(connection)
                transport.abort()
            return
        self._warn(reason)
        self._pause(_RETRY)

    def _warn(self, reason: str) -> None:
        now = self._loop.time()
        if self._warned_at is None or now - self._warned_at >= _WARNING_INTERVAL:
            self._warned_at = now
            LOGGER.warning("new connections have to wait: %s", reason)

    def _pause(self, seconds: float) -> None:
        """Accept no connections until a place may be free, at most for some seconds."""
        assert self._listener is not None
        self._loop.remove_reader(self._listener)
        self._resumption = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._resumption is not None and self._listener is not None:
            self._resumption.cancel()
            self._resumption = None
            self._loop.add_reader(self._listener, self._accept)


class Connection(web.RequestHandler):
    """One connection, which tells `Connections` when it begins and ends."""

    __slots__ = ("_connections", "client_timeout")

    def __init__(
        self, connections: Connections, server: web.Server, options: ServerOptions
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=options.idle_timeout,
            logger=LOGGER,
            access_log=None,  # type: ignore[arg-type] # `Connections` logs
        )
        self._connections = connections
        self.client_timeout = options.client_timeout

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP without the traceback that aiohttp logs; else as aiohttp does."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        # The message has several lines; the last one points at a byte of the line before.
        reason = " ".join(exc.message.split()).removesuffix(" ^")
        log_malformed(request.remote or "", reason)
        response = web.Response(status=status, text=reason)
        response.force_close()
        return response

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.remove(self)
        super().connection_lost(exc)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """In this context, the connection waits for the rest of a request."""
        self._connections.begin_wait(self)
        try:
            yield
        finally:
            self._connections.end_wait(self)


def limit_unread_answer(sock: socket.socket, seconds: float) -> None:
    """Let the operating system close a connection whose client reads nothing of its answer.

    The answer waits for it as long. Only Linux has this option.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))
