"""The default transport of the async side: aiohttp."""

from __future__ import annotations

import asyncio
import builtins
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakSet

import aiohttp
from yarl import URL

from hfgen import _tls
from hfgen._causes import reason, refusal
from hfgen._errors import ConnectError, HfgenError, TimeoutError  # noqa: A004
from hfgen._fetch import FetchRequest, FetchResponse
from hfgen._headers import Headers
from hfgen._url import display

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from hfgen._connecting import Connecting
    from hfgen._proxy import Proxy

_Responses: TypeAlias = WeakSet[aiohttp.ClientResponse]
_Sessions: TypeAlias = (
    "dict[asyncio.AbstractEventLoop, "
    "tuple[aiohttp.ClientSession, _Responses, AsyncGenerator[None, None]]]"
)


class AsyncTransport:
    """A pool of connections for each event loop; called with a request it is an `AsyncFetch`."""

    def __init__(self, connecting: Connecting) -> None:
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
        session, responses = await self._session()
        is_secure = request.url.startswith("https:")
        how: dict[str, Any] = {}
        if proxy is not None:
            how = {"proxy": URL(proxy.url), "proxy_headers": proxy.headers if is_secure else {}}
            if not is_secure:
                # The request itself goes to the proxy, and no CONNECT before it.
                request = replace(request, headers=Headers(request.headers) | proxy.headers)
        if is_secure or (proxy and proxy.url.startswith("https:")):
            how["ssl"] = self._context
        response = await opened(session, request, through=proxy, **how)
        responses.add(response)
        return answered(response, request)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        self.closed = True
        if (held := self._sessions.get(asyncio.get_running_loop())) is not None:
            await held[2].aclose()

    @cached_property
    def _context(self) -> ssl.SSLContext:
        # Not aiohttp's, which heeds only what the environment said when it was imported.
        return self._connecting.ssl or _tls.default()

    async def _session(self) -> tuple[aiohttp.ClientSession, _Responses]:
        loop = asyncio.get_running_loop()
        if (held := self._sessions.get(loop)) is not None:
            return held[:2]
        # Other threads, with loops of their own, may change it meanwhile.
        for other in list(self._sessions):
            if other.is_closed():
                self._sessions.pop(other, None)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        responses: _Responses = WeakSet()
        guard = _guard(loop, session, responses, self._sessions)
        self._sessions[loop] = session, responses, guard
        await anext(guard)
        return session, responses


async def opened(
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
        failure = _translated(error, request, through)
    raise failure


def answered(response: aiohttp.ClientResponse, request: FetchRequest) -> FetchResponse:
    """Return a response of aiohttp as one of hfgen."""
    return FetchResponse(
        status=response.status,
        headers=response.headers,
        body=_Pieces(response, request),
        close=partial(_cut, response),
    )


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
    """The body as it arrives, with aiohttp's errors translated."""

    __slots__ = ("_content", "_failure", "_request")

    def __init__(self, response: aiohttp.ClientResponse, request: FetchRequest) -> None:
        self._content = response.content
        self._request = request
        self._failure: HfgenError | None = None

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        if self._failure is None:
            try:
                piece = await self._content.readany()
            except (aiohttp.ClientError, OSError, RuntimeError) as error:
                # A RuntimeError if the client was closed under the stream.
                self._failure = _translated(error, self._request)
                # Once the connection is lost, aiohttp hides what had arrived before.
                piece = self._content._read_nowait(-1)  # noqa: SLF001 - there is no other way
            if piece:
                return piece
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration


def _timeout(seconds: float | None) -> aiohttp.ClientTimeout:
    # `connect` holds for what `sock_connect` leaves out: the answer of a proxy to a CONNECT.
    # How long an answer may take is for the call's signal to say.
    return aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds)


def _translated(error: Exception, request: FetchRequest, proxy: Proxy | None = None) -> HfgenError:
    where = display(request.url) + (f" through the proxy {proxy}" if proxy else "")
    failure: HfgenError
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        failure = TimeoutError(
            f"no connection to {where} in time (connect timeout)", phase="connect"
        )
    elif isinstance(error, builtins.TimeoutError):
        failure = TimeoutError(f"{where} sent nothing in time")
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        # A kind of the next one, but in older versions without an `os_error`.
        failure = ConnectError(f"cannot connect to {where}: {refusal(error) or error}")
    elif isinstance(error, aiohttp.ClientConnectorError):
        failure = ConnectError(f"cannot connect to {where}: {refusal(error) or error.os_error}")
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        return ConnectError(f"cannot connect to {where}: {error.status} {error.message}")
    elif isinstance(error, aiohttp.ClientResponseError):
        # Not chained: it holds the headers of the request, and the key with them.
        return ConnectError(
            f"the connection to {where} broke: what came is no HTTP ({error.message})"
        )
    else:
        failure = ConnectError(f"the connection to {where} broke: {reason(error)}")
    failure.__cause__ = error
    return failure
