"""The default transport of the async side: aiohttp."""

from __future__ import annotations

import asyncio
import builtins
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakSet

import aiohttp
from msgspec.structs import replace
from yarl import URL

from hfgen._core.errors import ConnectError, HfgenError, TimeoutError  # noqa: A004
from hfgen._core.fetch import FetchRequest, FetchResponse
from hfgen._core.headers import Headers
from hfgen._core.url import redact_url
from hfgen._io.async_unpacking import Unpacked
from hfgen._io.connecting import default_context
from hfgen._io.library_errors import certificate_problem, one_line
from hfgen._io.unpacking import make_unpacker

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from hfgen._io.connecting import ConnectionOptions, Proxy

_Responses: TypeAlias = WeakSet[aiohttp.ClientResponse]
_Session: TypeAlias = "tuple[aiohttp.ClientSession, _Responses, AsyncGenerator[None, None]]"
_Sessions: TypeAlias = dict[asyncio.AbstractEventLoop, _Session]

# Either says where the body ends; without them the connection's end does.
_FRAMED = {"content-length", "transfer-encoding"}


class AsyncTransport:
    """A pool of connections for each event loop; called with a request it is an `AsyncFetch`."""

    def __init__(self, connecting: ConnectionOptions) -> None:
        self.closed = False
        self._connecting = connecting
        self._sessions: _Sessions = {}

    async def __call__(self, request: FetchRequest) -> FetchResponse:
        """Make the request and return when its headers are here.

        Raises:
            ConnectError: No connection, or it broke before the headers.
            TimeoutError: No connection, or no headers, in time.
            InvalidRequestError: The environment names a proxy that cannot be used.
        """
        proxy = self._connecting.proxy_for(request.url)
        held = self._sessions.get(asyncio.get_running_loop()) or await self._begin()
        session, responses, _ = held
        is_secure = request.url[:6].lower() == "https:"
        how: dict[str, Any] = {}
        if proxy is not None:
            how = {"proxy": URL(proxy.url), "proxy_headers": proxy.headers if is_secure else {}}
            if not is_secure:
                # The request itself goes to the proxy, and no CONNECT before it.
                request = replace(request, headers=Headers(request.headers) | proxy.headers)
        if is_secure or (proxy and proxy.url.startswith("https:")):
            how["ssl"] = self._context
        response = await send_request(session, request, through=proxy, **how)
        responses.add(response)
        return to_fetch_response(response, request, unpacked=False)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        self.closed = True
        if (held := self._sessions.get(asyncio.get_running_loop())) is not None:
            await held[2].aclose()

    @cached_property
    def _context(self) -> ssl.SSLContext:
        # Not aiohttp's, which heeds only what the environment said when it was imported.
        return self._connecting.ssl or default_context()

    async def _begin(self) -> _Session:
        """Return the pool of the running loop, which is new."""
        loop = asyncio.get_running_loop()
        # Other threads, with loops of their own, may change it meanwhile.
        for other in list(self._sessions):
            if other.is_closed():
                self._sessions.pop(other, None)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Some versions that are allowed would unpack without a bound.
            auto_decompress=False,
        )
        responses: _Responses = WeakSet()
        guard = _guard(loop, session, responses, self._sessions)
        held = self._sessions[loop] = session, responses, guard
        await anext(guard)
        return held


async def send_request(
    session: aiohttp.ClientSession,
    request: FetchRequest,
    *,
    through: Proxy | None = None,
    **how: Any,
) -> aiohttp.ClientResponse:
    """Make the request over the session, with aiohttp's errors translated.

    Raises:
        ConnectError: No connection, or it broke before the headers.
        TimeoutError: No connection, or no headers, in time.
    """
    try:
        return await session.request(
            request.method,
            URL(request.url, encoded=True),
            data=request.body or None,
            headers=request.headers,
            timeout=_timeout(request.connect_timeout),
            allow_redirects=False,
            raise_for_status=False,
            **how,
        )
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # A ValueError if the host is no name.
        failure = _to_hfgen_error(error, request, through)
    raise failure


def to_fetch_response(
    response: aiohttp.ClientResponse, request: FetchRequest, *, unpacked: bool
) -> FetchResponse:
    """Return a response of aiohttp as one of hfgen; `unpacked` if aiohttp itself sees to that."""
    _end_with_connection(response)
    headers = Headers(response.headers)
    pieces = _Pieces(response.content, headers, request)
    unpacking = None if unpacked else make_unpacker(headers, request)
    return FetchResponse(
        status=response.status,
        headers=headers,
        body=pieces if unpacking is None else Unpacked(pieces, unpacking),
        close=partial(_cut, response),
    )


def _end_with_connection(response: aiohttp.ClientResponse) -> None:
    """See to it that the body ends when its connection does.

    Where the framing of a body turns out to be no HTTP, aiohttp closes the connection, and lets
    who reads the body wait.
    """
    connection, content = response.connection, response.content
    if connection is None or (protocol := connection.protocol) is None:
        return  # all of it is here
    closed: asyncio.Future[None] | None = getattr(protocol, "closed", None)
    if closed is None:
        return

    def end(closed: asyncio.Future[None]) -> None:
        lost = _read_exception(closed)
        why = protocol.exception() or lost
        if not content.is_eof() and content.exception() is None:
            said = one_line(getattr(why, "message", why) or "the connection was lost")
            content.set_exception(aiohttp.ClientPayloadError(f"what came is no HTTP ({said})"))

    def let_go() -> None:
        for callback in (end, _read_exception):
            closed.remove_done_callback(callback)
        closed.add_done_callback(_read_exception)

    closed.add_done_callback(end)
    # A connection serves many responses.
    content.on_eof(let_go)


def _read_exception(closed: asyncio.Future[None]) -> BaseException | None:
    """Return how it ended; asyncio complains of an error that nobody asked for."""
    return None if closed.cancelled() else closed.exception()


async def _guard(
    loop: asyncio.AbstractEventLoop,
    session: aiohttp.ClientSession,
    responses: _Responses,
    sessions: _Sessions,
) -> AsyncGenerator[None, None]:
    """Close what is open when this generator is closed, which a loop does when it shuts down.

    Nobody else closes the client that the static methods share.
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
        # Not politely: over TLS that takes a round trip, which a loop that ends does not wait for.
        connection.transport.abort()
    response.close()


class _Pieces:
    """The body as it arrives, with aiohttp's errors translated.

    Attributes:
        at_eof: aiohttp's own word on whether all of it has been read.
        readany: aiohttp's own way to the next piece, for who comes back here when it gives none.
    """

    __slots__ = ("_content", "_ends_with_line", "_failure", "_request", "at_eof", "readany")

    def __init__(
        self, content: aiohttp.StreamReader, headers: Headers, request: FetchRequest
    ) -> None:
        self._content = content
        self.at_eof = content.at_eof
        self.readany = content.readany
        self._ends_with_line = _FRAMED.isdisjoint(headers)
        self._request = request
        self._failure: HfgenError | None = None

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        if self._failure is None:
            try:
                piece = await self.readany()
            except (aiohttp.ClientError, OSError, RuntimeError) as error:
                # A RuntimeError if the client was closed under the stream.
                self._failure = _to_hfgen_error(error, self._request)
                # Once the connection is lost, aiohttp hides what had arrived before.
                piece = self._content._read_nowait(-1)  # noqa: SLF001 - there is no other way
            if piece:
                return piece
            if self._failure is None and self._ends_with_line:
                self._failure = self._reset()
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    def _reset(self) -> HfgenError | None:
        """Return how the connection broke, where aiohttp takes any end of it for the body's."""
        protocol = getattr(self._content, "_protocol", None)
        error = protocol.exception() if protocol is not None else None
        # In good order it ends with an error as well, but with none of the system.
        return _to_hfgen_error(error, self._request) if isinstance(error, OSError) else None


@lru_cache(maxsize=16)
def _timeout(seconds: float | None) -> aiohttp.ClientTimeout:
    # `connect` is for all of it: the name, the handshakes, the answer of a proxy to a CONNECT.
    # (`sock_connect`, for a part of it, would be one more timer for every connection.)
    # How long an answer may take is for the call's signal to say.
    return aiohttp.ClientTimeout(total=None, connect=seconds)


def _to_hfgen_error(
    error: Exception, request: FetchRequest, proxy: Proxy | None = None
) -> HfgenError:
    where = redact_url(request.url) + (f" through the proxy {proxy}" if proxy else "")
    failure: HfgenError
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        failure = TimeoutError(
            f"no connection to {where} in time (connect timeout)", phase="connect"
        )
    elif isinstance(error, builtins.TimeoutError):
        failure = TimeoutError(f"{where} sent nothing in time")
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        # A kind of the next one, but in older versions without an `os_error`.
        failure = ConnectError(f"cannot connect to {where}: {certificate_problem(error) or error}")
    elif isinstance(error, aiohttp.ClientConnectorError):
        failure = ConnectError(
            f"cannot connect to {where}: {certificate_problem(error) or error.os_error}"
        )
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        why = f"{error.status} {one_line(error.message)}"
        return ConnectError(f"cannot connect to {where}: {why}")
    elif isinstance(error, aiohttp.ClientResponseError):
        # Not chained: it holds the headers of the request, and the key with them.
        return ConnectError(
            f"the connection to {where} broke: what came is no HTTP ({one_line(error.message)})"
        )
    else:
        failure = ConnectError(f"the connection to {where} broke: {one_line(error)}")
    failure.__cause__ = error
    return failure
