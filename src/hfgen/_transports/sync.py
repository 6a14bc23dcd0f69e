"""The default transport of the sync side: urllib3."""

from __future__ import annotations

import builtins
import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import urllib3
from urllib3 import exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from hfgen._errors import ConnectError, HfgenError, TimeoutError  # noqa: A004
from hfgen._fetch import FetchRequest, FetchResponse
from hfgen._transports import CONNECT_TIMEOUT
from hfgen._url import display

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ_SIZE = 64 * 1024
# Idle connections kept for each host: as many as a busy program has threads.
_POOL_SIZE = 256
# The latter two are what http.client lets through where the size of a chunk is no size.
_FAILURES = (exceptions.HTTPError, OSError, ValueError, OverflowError)


class SyncTransport:
    """A pool of connections; called with a request it is a `Fetch`. Safe for threads."""

    def __init__(self) -> None:
        self.closed = False
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self._pools = urllib3.PoolManager(maxsize=_POOL_SIZE)
        self._pools.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def __call__(self, request: FetchRequest) -> FetchResponse:
        """Make the request and return when its headers are here.

        Raises:
            ConnectError: No connection, or it broke before the headers.
            TimeoutError: No connection, or no headers, in time.
        """
        url = urlsplit(request.url)
        line = _Line()
        # Until the response is there to be closed, an abort must find the connection here.
        unsubscribe = request.signal.subscribe(line.cut) if request.signal else None
        _calling.line = line
        try:
            response = self._pool(url).urlopen(
                request.method,
                urlunsplit(("", "", url.path or "/", url.query, "")),
                body=request.body or None,
                headers=dict(request.headers),
                timeout=_timeout(request.timeout),
                preload_content=False,
                redirect=False,
                retries=False,
            )
        except _FAILURES as error:
            raise _translated(error, request) from error
        finally:
            _calling.line = None
            if unsubscribe:
                unsubscribe()

        def close() -> None:
            line.cut()
            response.close()

        return FetchResponse(
            status=response.status,
            headers=response.headers,
            body=_pieces(response, request, line),
            close=close,
        )

    def close(self) -> None:
        """Close the idle connections."""
        self.closed = True
        self._pools.clear()

    def _pool(self, url: SplitResult) -> HTTPConnectionPool:
        if self._process != os.getpid():
            # A forked child must not speak over its parent's connections.
            self._open()
        # Not PoolManager.urlopen: it rewrites the path.
        return self._pools.connection_from_host(url.hostname, url.port, url.scheme)


def _pieces(
    response: urllib3.BaseHTTPResponse, request: FetchRequest, line: _Line
) -> Iterator[bytes]:
    try:
        if getattr(response, "chunked", False):
            yield from response.read_chunked(decode_content=True)
        elif "content-encoding" in response.headers:
            yield from response.stream(_READ_SIZE)
        else:
            while piece := response.read1(_READ_SIZE):
                yield piece
    except _FAILURES as error:
        # What came of a chunk before the connection broke inside it belongs to the body.
        partial = getattr(error.__cause__, "partial", None)
        if isinstance(partial, bytes) and partial:
            yield partial
        raise _translated(error, request) from error
    # The connection is back in the pool and somebody else's.
    line.release()


def _timeout(seconds: float | None) -> urllib3.Timeout:
    if seconds is None:
        return urllib3.Timeout(None)
    return urllib3.Timeout(connect=min(seconds, CONNECT_TIMEOUT), read=seconds)


def _translated(error: Exception, request: FetchRequest) -> HfgenError:
    where = display(request.url)
    cause: object = error.__cause__ or error.__context__ or error
    # The order matters: a refused connection is a kind of timeout to urllib3.
    if isinstance(error, exceptions.NewConnectionError | exceptions.SSLError):
        return ConnectError(f"cannot connect to {where}: {cause}")
    if isinstance(error, exceptions.ConnectTimeoutError):
        return TimeoutError(f"no connection to {where} in time", phase="connect")
    if isinstance(error, exceptions.ReadTimeoutError):
        return TimeoutError(f"{where} sent nothing for {request.timeout:g} s (timeout)")
    if isinstance(error, ValueError | OverflowError):
        cause = f"what came is no HTTP ({cause})"
    elif isinstance(error, exceptions.ProtocolError) and not isinstance(cause, OSError):
        cause = "the server closed it inside the answer"
    return ConnectError(f"the connection to {where} broke: {cause}")


class _Line:
    """The socket of one call, to be cut from another thread: that wakes a blocked read."""

    def __init__(self) -> None:
        # One that may be taken twice: a signal handler may abort in the middle of these.
        self._lock = threading.RLock()
        self._socket: socket.socket | None = None
        self._is_cut = False
        self._process = os.getpid()

    def attach(self, sock: socket.socket) -> None:
        with self._lock:
            self._socket = sock
            _lines.add(self)
            if self._is_cut:
                self._shut_down()

    def release(self) -> None:
        with self._lock:
            self._socket = None
            _lines.discard(self)

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            self._shut_down()
            _lines.discard(self)

    def _shut_down(self) -> None:
        # What a forked child lets go of is still its parent's.
        if self._socket is not None and self._process == os.getpid():
            # Not SSLSocket.shutdown: it takes the TLS object from under the blocked read.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


# Sockets in use, held so that the garbage collector does not finalise one before its stream.
_lines: set[_Line] = set()


class _Calling(threading.local):
    """The line of the call that this thread is making: urllib3 has no way to hand it down."""

    line: _Line | None = None


_calling = _Calling()


class _Attached(HTTPConnection):
    """A connection that tells the call which socket it goes over."""

    def _new_conn(self) -> socket.socket:
        # urllib3's own hands the socket out only when it has connected, too late to cut it.
        try:
            return self._connected()
        except socket.gaierror as error:
            raise exceptions.NameResolutionError(self.host, self, error) from error
        except builtins.TimeoutError as error:
            raise exceptions.ConnectTimeoutError(self, str(error)) from error
        except OSError as error:
            raise exceptions.NewConnectionError(self, str(error)) from error

    def _connected(self) -> socket.socket:
        failure: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self._dns_host, self.port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(self.timeout)
                if _calling.line is not None:
                    _calling.line.attach(sock)
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure or OSError("the name has no address")

    def connect(self) -> None:
        super().connect()
        self._attach()

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._attach()
        super().request(*args, **kwargs)

    def _attach(self) -> None:
        if _calling.line is not None and self.sock is not None:
            _calling.line.attach(self.sock)


class _AttachedTLS(_Attached, HTTPSConnection):
    """The same, over TLS."""


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _Attached


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _AttachedTLS
