"""The default transport of the sync side: urllib3."""

from __future__ import annotations

import builtins
import os
from contextlib import nullcontext
from functools import cached_property
from http.client import IncompleteRead
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3 import exceptions

from hfgen._core.errors import drop_tracebacks
from hfgen._core.fetch import FetchRequest, FetchResponse
from hfgen._core.headers import Headers
from hfgen._io.connecting import default_context
from hfgen._io.library_errors import (
    ConnectionFailure,
    certificate_problem,
    connection_error,
    one_line,
    root_cause,
)
from hfgen._io.unpacking import make_unpacker
from hfgen._sync.closable_body import ClosableBody
from hfgen._sync.sockets import CuttableSocket, HTTPPool, HTTPSPool, Response, current_call

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from urllib3.connectionpool import HTTPConnectionPool

    from hfgen._core.errors import HfgenError
    from hfgen._io.connecting import ConnectionOptions, Proxy
    from hfgen._io.unpacking import Unpacker


R = TypeVar("R")

_READ_SIZE = 64 * 1024
# The most idle connections kept for each host: one for each thread of a busy program.
_POOL_SIZE = 256
# What urllib3 raises. http.client raises the last two for a wrong size of a chunk.
FAILURES = (exceptions.HTTPError, OSError, ValueError, OverflowError)


class SyncTransport:
    """A pool of connections; called with a request it is a `Fetch`. Safe for threads."""

    def __init__(self, connecting: ConnectionOptions) -> None:
        self.closed = False
        self._connecting = connecting
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        # For each proxy.
        self._pools: dict[Proxy | None, urllib3.PoolManager] = {}

    def __call__(self, request: FetchRequest) -> FetchResponse:
        """Send the request and return once the headers of the answer have arrived.

        Raises:
            ConnectError: No connection, or it broke before the headers.
            TimeoutError: No connection, or no headers, in time.
            InvalidRequestError: The environment names a proxy or a file that cannot be used.
        """
        proxy = self._connecting.proxy_for(request.url)
        pool = self._pool(urlsplit(request.url), proxy)

        def make() -> urllib3.BaseHTTPResponse:
            return pool.urlopen(
                request.method,
                # urllib3 needs the scheme to know which requests a proxy forwards.
                request.url if proxy else current_call.target,
                body=request.body or None,
                headers=dict(request.headers),
                # The call's own deadlines limit the time of an answer.
                timeout=urllib3.Timeout(connect=request.connect_timeout, read=None),
                preload_content=False,
                redirect=False,
                retries=False,
                assert_same_host=False,
            )

        def translate(error: Exception, cuttable: CuttableSocket) -> HfgenError:
            return _to_hfgen_error(error, request, cuttable, proxy)

        response, cuttable = send_cuttable(request, make, FAILURES, translate)
        return to_fetch_response(response, request, cuttable)

    def close(self) -> None:
        """Close the idle connections."""
        self.closed = True
        for pools in list(self._pools.values()):
            for key in pools.pools.keys():  # noqa: SIM118 - it cannot be iterated
                # `clear` drops the pool without closing it, and an error may still refer to it.
                if (pool := pools.pools.get(key)) is not None:
                    pool.close()
            pools.clear()

    def _pool(self, url: SplitResult, proxy: Proxy | None) -> HTTPConnectionPool:
        if self._process != os.getpid():
            # A forked child must not speak over its parent's connections.
            self._open()
        if (pools := self._pools.get(proxy)) is None:
            # Two threads may get here at once; both use the manager that was stored first.
            pools = self._pools.setdefault(proxy, self._make_manager(proxy))
        # Not PoolManager.urlopen: it rewrites the path.
        return pools.connection_from_host(url.hostname, url.port, url.scheme)

    def _make_manager(self, proxy: Proxy | None) -> urllib3.PoolManager:
        context = self._context
        options: dict[str, Any] = {"maxsize": _POOL_SIZE, "ssl_context": context}
        if not context.check_hostname:
            # urllib3 would check the host name itself, although the context says not to.
            options["assert_hostname"] = False
        pools = (
            urllib3.PoolManager(**options)
            if proxy is None
            else urllib3.ProxyManager(
                proxy.url, proxy_headers=proxy.headers, proxy_ssl_context=context, **options
            )
        )
        pools.pool_classes_by_scheme = {"http": HTTPPool, "https": HTTPSPool}
        return pools

    @cached_property
    def _context(self) -> ssl.SSLContext:
        # One for all connections, as reading the system's certificates is slow.
        return self._connecting.ssl or default_context()


def send_cuttable(
    request: FetchRequest,
    make: Callable[[], R],
    failures: tuple[type[Exception], ...],
    translate: Callable[[Exception, CuttableSocket], HfgenError],
) -> tuple[R, CuttableSocket]:
    """Send a request by `make`, so that an abort can cut its socket.

    Args:
        request: The request; its signal cuts the socket until this function returns.
        make: Sends the request and returns the response.
        failures: What `make` raises.
        translate: Returns hfgen's error for one of them.

    Returns:
        What `make` returned, and the socket, for the body to go on with.
    """
    while True:
        cuttable = CuttableSocket()
        unsubscribe = request.signal.subscribe(cuttable.cut) if request.signal else None
        current_call.begin(cuttable, request.url)
        try:
            return make(), cuttable
        except failures as error:
            # Not a failed attempt: servers close idle connections. Each turn of the loop takes one
            # connection out of the pool, so that it ends with a new one.
            is_stale = cuttable.is_stale(root_cause(error))
            failure = translate(error, cuttable)
            # The traceback and the error refer to each other, which would keep all callers alive.
            drop_tracebacks(error)
        except BaseException:
            # Ctrl-C in a handshake: only the traceback refers to the socket, and may live for long.
            cuttable.cut()
            cuttable.release()
            raise
        finally:
            current_call.end()
            if unsubscribe:
                unsubscribe()
        cuttable.release()
        if not is_stale:
            # Raised outside the handler, so that the library's error is not chained.
            raise failure


def to_fetch_response(
    response: urllib3.BaseHTTPResponse, request: FetchRequest, cuttable: CuttableSocket
) -> FetchResponse:
    """Return hfgen's response for one of urllib3."""
    headers = Headers(response.headers)
    unpacker = make_unpacker(headers, request)
    body = ClosableBody(_pieces(response, request, cuttable, unpacker), cuttable, response.close)
    return FetchResponse(status=response.status, headers=headers, body=body, close=body.close)


def _pieces(
    response: urllib3.BaseHTTPResponse,
    request: FetchRequest,
    cuttable: CuttableSocket,
    unpacker: Unpacker | None,
) -> Iterator[bytes]:
    """Yield the body as it arrives, with urllib3's errors translated."""
    failure: HfgenError | None = None
    raw, catch_errors = _read_raw(response, cuttable)
    try:
        with catch_errors:
            yield from raw if unpacker is None else unpacker.unpack(raw)
    except FAILURES as error:
        failure = _to_hfgen_error(error, request, cuttable)
    if failure is not None:
        raise failure
    # The connection is back in the pool, for another call.
    cuttable.release()


def _read_raw(
    response: urllib3.BaseHTTPResponse, cuttable: CuttableSocket
) -> tuple[Iterator[bytes], AbstractContextManager[object]]:
    """Return the body as it arrives, still packed, and a context to read it in."""
    original = getattr(response, "_original_response", None)
    if isinstance(original, Response) and original.chunked and original.fp is not None:
        # Not by urllib3, which runs ten functions for each chunk. Its context returns the
        # connection to the pool once the body has been read to its end.
        return original.pieces(), response._error_catcher()  # type: ignore[attr-defined] # noqa: SLF001
    return _read(response, cuttable), nullcontext()


def _read(response: urllib3.BaseHTTPResponse, cuttable: CuttableSocket) -> Iterator[bytes]:
    while piece := response.read1(_READ_SIZE, decode_content=False):
        if response.connection is None:
            # The last byte of a known length has been read: the connection is back in the pool.
            cuttable.release()
        yield piece


def _to_hfgen_error(
    error: Exception, request: FetchRequest, cuttable: CuttableSocket, proxy: Proxy | None = None
) -> HfgenError:
    """Return the error of hfgen for one of urllib3."""
    inmost = root_cause(error)
    if isinstance(error, exceptions.ProxyError):
        error = error.original_error
    cause = error.__cause__ or error.__context__ or error
    reason: object = ""
    # The order matters: a refused connection is a kind of timeout to urllib3.
    if isinstance(error, exceptions.NewConnectionError | exceptions.SSLError):
        failure, reason = ConnectionFailure.NOT_CONNECTED, certificate_problem(error) or cause
    elif isinstance(error, exceptions.ConnectTimeoutError) or (
        isinstance(error, exceptions.TimeoutError | builtins.TimeoutError)
        and cuttable.state != "connected"
    ):
        failure = ConnectionFailure.CONNECT_TIMEOUT
    elif isinstance(error, exceptions.ReadTimeoutError):
        failure = ConnectionFailure.READ_TIMEOUT
    elif proxy is not None and cuttable.state != "connected":
        failure = ConnectionFailure.NOT_CONNECTED
        reason = one_line(str(error).removeprefix("Tunnel connection failed: "))
    else:
        failure, reason = ConnectionFailure.BROKEN, one_line(cause)
        if isinstance(error, ValueError | OverflowError):
            reason = f"what came is no HTTP ({one_line(cause)})"
        elif isinstance(inmost, ValueError):
            # The size of a chunk, which http.client reports as a lack of bytes.
            reason = f"what came is no HTTP ({one_line(inmost)})"
        elif isinstance(error, exceptions.ProtocolError) and isinstance(cause, IncompleteRead):
            reason = "the server closed it inside the answer"
    return connection_error(failure, request, reason, proxy=proxy, cause=inmost)
