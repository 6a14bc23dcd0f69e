"""The default transport of the sync side: urllib3."""

from __future__ import annotations

import builtins
import os
from contextlib import nullcontext
from functools import cached_property
from http.client import IncompleteRead
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3 import exceptions

from hfgen._core.errors import ConnectError, HfgenError, TimeoutError, drop_tracebacks  # noqa: A004
from hfgen._core.fetch import FetchRequest, FetchResponse
from hfgen._core.headers import Headers
from hfgen._core.url import redact_url
from hfgen._io.connecting import default_context
from hfgen._io.library_errors import certificate_problem, one_line, root_cause
from hfgen._io.unpacking import make_unpacker
from hfgen._sync.closable_body import ClosableBody
from hfgen._sync.sockets import CuttableSocket, HTTPPool, HTTPSPool, Response, current_call

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from urllib3.connectionpool import HTTPConnectionPool

    from hfgen._io.connecting import ConnectionOptions, Proxy
    from hfgen._io.unpacking import Unpacker


R = TypeVar("R")

_READ_SIZE = 64 * 1024
# Idle connections kept for each host: as many as a busy program has threads.
_POOL_SIZE = 256
# The latter two are what http.client lets through where the size of a chunk is no size.
FAILURES = (exceptions.HTTPError, OSError, ValueError, OverflowError)


class SyncTransport:
    """A pool of connections; called with a request it is a `Fetch`. Safe for threads."""

    def __init__(self, connecting: ConnectionOptions) -> None:
        self.closed = False
        self._connecting = connecting
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        # By the proxy that they go through.
        self._pools: dict[Proxy | None, urllib3.PoolManager] = {}

    def __call__(self, request: FetchRequest) -> FetchResponse:
        """Make the request and return when its headers are here.

        Raises:
            ConnectError: No connection, or it broke before the headers.
            TimeoutError: No connection, or no headers, in time.
            InvalidRequestError: The environment names a proxy that cannot be used.
        """
        proxy = self._connecting.proxy_for(request.url)

        def make() -> urllib3.BaseHTTPResponse:
            return self._pool(urlsplit(request.url), proxy).urlopen(
                request.method,
                # By the scheme urllib3 tells which requests a proxy is to forward.
                request.url if proxy else current_call.target,
                body=request.body or None,
                headers=dict(request.headers),
                # How long an answer may take is for the call's signal to say.
                timeout=urllib3.Timeout(connect=request.connect_timeout, read=None),
                preload_content=False,
                redirect=False,
                retries=False,
                assert_same_host=False,
            )

        def translate(error: Exception, line: CuttableSocket) -> HfgenError:
            return to_hfgen_error(error, request, line, proxy)

        response, line = send_cuttable(request, make, FAILURES, translate)
        return to_fetch_response(response, request, line)

    def close(self) -> None:
        """Close the idle connections."""
        self.closed = True
        for pools in list(self._pools.values()):
            for key in pools.pools.keys():  # noqa: SIM118 - it cannot be iterated
                # `clear` only forgets it, and an error that is kept somewhere may hold it still.
                if (pool := pools.pools.get(key)) is not None:
                    pool.close()
            pools.clear()

    def _pool(self, url: SplitResult, proxy: Proxy | None) -> HTTPConnectionPool:
        if self._process != os.getpid():
            # A forked child must not speak over its parent's connections.
            self._open()
        if (pools := self._pools.get(proxy)) is None:
            # Of two threads that come here at once, both go on with the first one's.
            pools = self._pools.setdefault(proxy, self._manager(proxy))
        # Not PoolManager.urlopen: it rewrites the path.
        return pools.connection_from_host(url.hostname, url.port, url.scheme)

    def _manager(self, proxy: Proxy | None) -> urllib3.PoolManager:
        context = self._context
        how: dict[str, Any] = {"maxsize": _POOL_SIZE, "ssl_context": context}
        if not context.check_hostname:
            # urllib3 would check it in the context's place.
            how["assert_hostname"] = False
        pools = (
            urllib3.PoolManager(**how)
            if proxy is None
            else urllib3.ProxyManager(
                proxy.url, proxy_headers=proxy.headers, proxy_ssl_context=context, **how
            )
        )
        pools.pool_classes_by_scheme = {"http": HTTPPool, "https": HTTPSPool}
        return pools

    @cached_property
    def _context(self) -> ssl.SSLContext:
        # One for all connections: to read the system's certificates takes longer than a handshake.
        return self._connecting.ssl or default_context()


def send_cuttable(
    request: FetchRequest,
    make: Callable[[], R],
    failures: tuple[type[Exception], ...],
    translate: Callable[[Exception, CuttableSocket], HfgenError],
) -> tuple[R, CuttableSocket]:
    """Make a request; return what came, and the line that it came over.

    Until the response is there to be closed, an abort finds the connection here. A failure is
    raised outside of its handler, so that it is chained to nothing but what `translate` says.
    """
    line = CuttableSocket()
    unsubscribe = request.signal.subscribe(line.cut) if request.signal else None
    current_call.begin(line, request.url)
    try:
        return make(), line
    except failures as error:
        failure = translate(error, line)
        # Frames of urllib3 hold it, and so it would hold all callers until the collector comes.
        drop_tracebacks(error)
    except BaseException:
        # Ctrl-C in a handshake leaves the socket to the traceback, which may be held for long.
        line.cut()
        line.release()
        raise
    finally:
        current_call.end()
        if unsubscribe:
            unsubscribe()
    line.release()
    raise failure


def to_fetch_response(
    response: urllib3.BaseHTTPResponse, request: FetchRequest, line: CuttableSocket
) -> FetchResponse:
    """Return a response of urllib3 as one of hfgen."""
    headers = Headers(response.headers)
    unpacked = make_unpacker(headers, request)
    body = ClosableBody(_pieces(response, request, line, unpacked), line, response.close)
    return FetchResponse(status=response.status, headers=headers, body=body, close=body.close)


def _pieces(
    response: urllib3.BaseHTTPResponse,
    request: FetchRequest,
    line: CuttableSocket,
    unpacked: Unpacker | None,
) -> Iterator[bytes]:
    """Yield the body as it arrives, with urllib3's errors translated."""
    failure: HfgenError | None = None
    raw, caught = _raw(response, line)
    try:
        with caught:
            yield from raw if unpacked is None else chain.from_iterable(map(unpacked.feed, raw))
    except FAILURES as error:
        failure = to_hfgen_error(error, request, line)
    if failure is not None:
        raise failure
    # The connection is back in the pool and somebody else's.
    line.release()


def _raw(
    response: urllib3.BaseHTTPResponse, line: CuttableSocket
) -> tuple[Iterator[bytes], AbstractContextManager[object]]:
    """Return the body as it arrives, and as it is; it is to be read in the context."""
    answer = getattr(response, "_original_response", None)
    if isinstance(answer, Response) and answer.chunked and answer.fp is not None:
        # Past urllib3, which goes through ten functions for a token, and reads no further than a
        # chunk at once; it gives the connection back where all of it has been read.
        return answer.pieces(), response._error_catcher()  # type: ignore[attr-defined] # noqa: SLF001
    return _read(response, line), nullcontext()


def _read(response: urllib3.BaseHTTPResponse, line: CuttableSocket) -> Iterator[bytes]:
    while piece := response.read1(_READ_SIZE, decode_content=False):
        if response.connection is None:
            # With the last byte of a known length the connection has gone back.
            line.release()
        yield piece


def to_hfgen_error(
    error: Exception, request: FetchRequest, line: CuttableSocket, proxy: Proxy | None = None
) -> HfgenError:
    """Return the error of hfgen that stands for one of urllib3."""
    where = redact_url(request.url) + (f" through the proxy {proxy}" if proxy else "")
    inmost, refused = root_cause(error), certificate_problem(error)
    if isinstance(error, exceptions.ProxyError):
        error = error.original_error
    cause: object = error.__cause__ or error.__context__ or error
    failure: HfgenError
    # The order matters: a refused connection is a kind of timeout to urllib3.
    if isinstance(error, exceptions.NewConnectionError | exceptions.SSLError):
        failure = ConnectError(f"cannot connect to {where}: {refused or cause}")
    elif isinstance(error, exceptions.ConnectTimeoutError) or (
        isinstance(error, exceptions.TimeoutError | builtins.TimeoutError)
        and line.state != "connected"
    ):
        failure = TimeoutError(
            f"no connection to {where} in time (connect timeout)", phase="connect"
        )
    elif isinstance(error, exceptions.ReadTimeoutError):
        failure = TimeoutError(f"{where} sent nothing in time")
    elif proxy is not None and line.state != "connected":
        why = str(error).removeprefix("Tunnel connection failed: ")
        failure = ConnectError(f"cannot connect to {where}: {one_line(why)}")
    else:
        if isinstance(error, ValueError | OverflowError):
            cause = f"what came is no HTTP ({one_line(cause)})"
        elif isinstance(inmost, ValueError):
            # The size of a chunk, which http.client reports as a lack of bytes.
            cause = f"what came is no HTTP ({one_line(inmost)})"
        elif isinstance(error, exceptions.ProtocolError) and isinstance(cause, IncompleteRead):
            cause = "the server closed it inside the answer"
        failure = ConnectError(f"the connection to {where} broke: {one_line(cause)}")
    # Not urllib3's own: it holds the pool, and that the password for the proxy.
    failure.__cause__ = inmost
    return failure
