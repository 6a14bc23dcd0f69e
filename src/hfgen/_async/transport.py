"""The default transport of the async side: aiohttp."""

from __future__ import annotations

import asyncio
import builtins
import re
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from msgspec.structs import replace
from yarl import URL

from hfgen._core.fetch import FetchRequest, FetchResponse
from hfgen._core.headers import FRAMING_HEADERS, Headers
from hfgen._io.async_unpacking import Unpacked
from hfgen._io.connecting import default_context
from hfgen._io.library_errors import (
    ConnectionFailure,
    certificate_problem,
    connection_error,
    one_line,
)
from hfgen._io.unpacking import make_unpacker

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from hfgen._core.errors import HfgenError
    from hfgen._io.connecting import ConnectionOptions, Proxy

_Responses: TypeAlias = WeakSet[aiohttp.ClientResponse]
_Session: TypeAlias = "tuple[aiohttp.ClientSession, _Responses, AsyncGenerator[None, None]]"
_Sessions: TypeAlias = dict[asyncio.AbstractEventLoop, _Session]

# The most bytes of a header of an answer, and the most headers.
_MAX_HEADER = 64 * 1024
_MAX_HEADERS = 100


class AsyncTransport:
    """A pool of connections for each event loop; called with a request it is an `AsyncFetch`."""

    def __init__(self, connecting: ConnectionOptions) -> None:
        self.closed = False
        self._connecting = connecting
        self._sessions: _Sessions = {}

    async def __call__(self, request: FetchRequest) -> FetchResponse:
        """Send the request and return once the headers of the answer have arrived.

        Raises:
            ConnectError: No connection, or it broke before the headers.
            TimeoutError: No connection, or no headers, in time.
            InvalidRequestError: The environment names a proxy or a file that cannot be used.
        """
        proxy = self._connecting.proxy_for(request.url)
        session, responses, _ = (
            self._sessions.get(asyncio.get_running_loop()) or await self._open_session()
        )
        options: dict[str, Any] = {}
        if request.url[:6].lower() == "https:" or (proxy and proxy.url.startswith("https:")):
            options["ssl"] = self._context
        response = await send_request(session, request, through=proxy, **options)
        responses.add(response)
        return to_fetch_response(response, request)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        self.closed = True
        # Under trio there are no connections, and no loop.
        if self._sessions and (held := self._sessions.get(asyncio.get_running_loop())) is not None:
            await held[2].aclose()

    @cached_property
    def _context(self) -> ssl.SSLContext:
        # Not aiohttp's own, which reads the environment only once, when it is imported.
        return self._connecting.ssl or default_context()

    async def _open_session(self) -> _Session:
        """Make the session of the running loop."""
        loop = asyncio.get_running_loop()
        # A copy: other threads, with loops of their own, may change it meanwhile.
        for other in list(self._sessions):
            if other.is_closed():
                self._sessions.pop(other, None)
        session = open_session(aiohttp.TCPConnector(limit=0), connector_owner=True)
        responses: _Responses = WeakSet()
        guard = _guard(loop, session, responses, self._sessions)
        held = self._sessions[loop] = session, responses, guard
        await anext(guard)
        return held


def open_session(connector: aiohttp.BaseConnector | None, **options: Any) -> aiohttp.ClientSession:
    """Return a session that sends nothing but requests, over connections of the class below."""
    if connector is not None:
        loop = asyncio.get_running_loop()
        connector._factory = partial(_Connection, loop)  # type: ignore[assignment] # noqa: SLF001
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), **options
    )


class _StaleConnectionError(aiohttp.ServerDisconnectedError):
    """The server closed a kept-alive connection before it answered the request."""


class _Connection(ResponseHandler):
    """A connection of aiohttp that knows whether it can be, and was, used again."""

    _has_served = _has_answer = False

    def is_connected(self) -> bool:
        # Bytes that arrive while the connection is idle belong to no request, and aiohttp would
        # take them for the answer to the next one. They set `should_close`.
        transport = self.transport
        return transport is not None and not (self.should_close or transport.is_closing())

    def set_response_params(self, **options: Any) -> None:
        self._has_answer = False
        super().set_response_params(**options)

    def feed_data(self, message: Any, size: int = 0) -> None:
        # After an interim answer the same request still waits for its answer.
        if message[0].code >= 200:  # noqa: PLR2004 - a status
            self._has_served = self._has_answer = True
        super().feed_data(message, size)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        is_lost = isinstance(exc, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
        # `message` holds the part of an answer that has arrived.
        is_unanswered = not self._has_answer and isinstance(getattr(exc, "message", ""), str)
        if is_lost and is_unanswered and self._has_served:
            exc = _StaleConnectionError()
        super().set_exception(exc, *cause)


def _proxy_options(request: FetchRequest, proxy: Proxy) -> tuple[FetchRequest, dict[str, Any]]:
    """Return the request as it goes through the proxy, and aiohttp's options for it."""
    if request.url[:6].lower() == "https:":
        return request, {"proxy": URL(proxy.url), "proxy_headers": proxy.headers}
    # The proxy gets the request itself, without a CONNECT before it.
    request = replace(request, headers=Headers(request.headers) | proxy.headers)
    return request, {"proxy": URL(proxy.url), "proxy_headers": {}}


async def send_request(
    session: aiohttp.ClientSession,
    request: FetchRequest,
    *,
    through: Proxy | None = None,
    **options: Any,
) -> aiohttp.ClientResponse:
    """Send the request through the session; raise hfgen's errors for those of aiohttp.

    Raises:
        ConnectError: No connection, or it broke before the headers.
        TimeoutError: No connection, or no headers, in time.
    """
    if through is not None:
        request, proxy_options = _proxy_options(request, through)
        options |= proxy_options
    while True:
        try:
            return await session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body or None,
                headers=request.headers,
                timeout=_timeout(request.connect_timeout),
                allow_redirects=False,
                raise_for_status=False,
                # `Unpacked` does it, with the same bounds and errors for every library.
                auto_decompress=False,
                # What http.client, on the sync side, allows.
                max_line_size=_MAX_HEADER,
                max_field_size=_MAX_HEADER,
                max_headers=_MAX_HEADERS,
                **options,
            )
        except _StaleConnectionError:
            # Not a failed attempt: servers close idle connections. Each turn of the loop takes one
            # connection out of the pool, so that it ends with a new one.
            continue
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # A ValueError is for a host that is no name.
            failure = _to_hfgen_error(error, request, through)
            break
    raise failure


def to_fetch_response(response: aiohttp.ClientResponse, request: FetchRequest) -> FetchResponse:
    """Return hfgen's response for one of aiohttp, whose body is unread and packed."""
    _end_with_connection(response)
    headers = Headers(response.headers)
    pieces = _Pieces(response.content, headers, request)
    unpacker = make_unpacker(headers, request)
    return FetchResponse(
        status=response.status,
        headers=headers,
        body=pieces if unpacker is None else Unpacked(pieces, unpacker),
        close=partial(_cut, response),
    )


def _end_with_connection(response: aiohttp.ClientResponse) -> None:
    """Break the body with an error when its connection ends.

    Without this a read waits for ever where aiohttp closes the connection because the framing of
    the body is no HTTP.
    """
    connection, content = response.connection, response.content
    if connection is None or (protocol := connection.protocol) is None:
        return  # the whole body has arrived
    closed: asyncio.Future[None] | None = getattr(protocol, "closed", None)
    if closed is None:
        return

    def end(closed: asyncio.Future[None]) -> None:
        lost = _read_exception(closed)
        error = protocol.exception() or lost
        if not content.is_eof() and content.exception() is None:
            reason = one_line(getattr(error, "message", error) or "the connection was lost")
            content.set_exception(aiohttp.ClientPayloadError(f"what came is no HTTP ({reason})"))

    def remove_callbacks() -> None:
        for callback in (end, _read_exception):
            closed.remove_done_callback(callback)
        closed.add_done_callback(_read_exception)

    closed.add_done_callback(end)
    # The connection goes on to serve other responses.
    content.on_eof(remove_callbacks)


def _read_exception(closed: asyncio.Future[None]) -> BaseException | None:
    """Return the exception, if any. asyncio logs an exception that is never read."""
    return None if closed.cancelled() else closed.exception()


async def _guard(
    loop: asyncio.AbstractEventLoop,
    session: aiohttp.ClientSession,
    responses: _Responses,
    sessions: _Sessions,
) -> AsyncGenerator[None, None]:
    """Close the session when this generator is closed, as a loop does when it shuts down.

    The client that the static methods share is closed only in this way.
    """
    try:
        yield
    finally:
        sessions.pop(loop, None)
        for response in list(responses):
            _cut(response)
        await session.close()


def _cut(response: aiohttp.ClientResponse) -> None:
    """Close the connection, if the response has not been read to its end."""
    if (connection := response.connection) is not None and connection.transport is not None:
        # Not `close`, which over TLS takes a round trip that a loop at its end does not wait for.
        connection.transport.abort()
    response.close()


class _Pieces:
    """The body as it arrives, with hfgen's errors for those of aiohttp.

    Attributes:
        at_eof: Of aiohttp: returns whether the whole body has been read.
        readany: Of aiohttp: returns the next piece. Cheaper than `__anext__`; where it returns
            nothing or raises, `__anext__` tells why.
    """

    __slots__ = ("_content", "_ends_with_connection", "_failure", "_request", "at_eof", "readany")

    def __init__(
        self, content: aiohttp.StreamReader, headers: Headers, request: FetchRequest
    ) -> None:
        self._content = content
        self.at_eof = content.at_eof
        self.readany = content.readany
        self._ends_with_connection = FRAMING_HEADERS.isdisjoint(headers)
        self._request = request
        self._failure: HfgenError | None = None

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        if self._failure is None:
            try:
                piece = await self.readany()
            except (aiohttp.ClientError, OSError, RuntimeError) as error:
                # A RuntimeError is for a client that was closed meanwhile.
                self._failure = _to_hfgen_error(error, self._request)
                # When a connection breaks, aiohttp does not return what had arrived before.
                piece = self._content._read_nowait(-1)  # noqa: SLF001 - no other way
            if piece:
                return piece
            if self._failure is None and self._ends_with_connection:
                self._failure = self._reset()
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    def _reset(self) -> HfgenError | None:
        """Return the error that broke the connection; aiohttp takes it for the end of the body."""
        protocol = getattr(self._content, "_protocol", None)
        error = protocol.exception() if protocol is not None else None
        # An ordinary end sets an exception, too, but not one of the system.
        return _to_hfgen_error(error, self._request) if isinstance(error, OSError) else None


@lru_cache(maxsize=16)
def _timeout(seconds: float | None) -> aiohttp.ClientTimeout:
    # `connect` covers the name, the handshakes, and the answer of a proxy to CONNECT.
    # (`sock_connect`, for one part, would be one more timer for each connection.)
    # The call's own deadlines limit the time of an answer.
    return aiohttp.ClientTimeout(total=None, connect=seconds)


def _to_hfgen_error(
    error: Exception, request: FetchRequest, proxy: Proxy | None = None
) -> HfgenError:
    """Return the error of hfgen for one of aiohttp."""
    reason: object = ""
    cause: Exception | None = error
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        failure = ConnectionFailure.CONNECT_TIMEOUT
    elif isinstance(error, builtins.TimeoutError):
        failure = ConnectionFailure.READ_TIMEOUT
    elif isinstance(error, aiohttp.ClientConnectorError):
        failure = ConnectionFailure.NOT_CONNECTED
        # Older versions raise a certificate error without an `os_error`.
        reason = certificate_problem(error) or getattr(error, "os_error", error)
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        failure = ConnectionFailure.NOT_CONNECTED
        reason, cause = f"{error.status} {one_line(error.message)}", None
    elif isinstance(error, aiohttp.ClientResponseError):
        failure = ConnectionFailure.BROKEN
        # aiohttp quotes the header, which may hold a cookie.
        message = re.split(": b['\"]", one_line(error.message))[0]
        # Not chained: it holds the headers of the request, and the key with them.
        reason, cause = f"what came is no HTTP ({message})", None
    else:
        failure, reason = ConnectionFailure.BROKEN, one_line(error)
        if not isinstance(getattr(error, "message", ""), str):
            # The headers that have arrived, with their cookies.
            reason, cause = "the server closed it inside the headers", None
    return connection_error(failure, request, reason, proxy=proxy, cause=cause)
