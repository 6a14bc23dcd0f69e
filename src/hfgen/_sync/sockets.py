"""Connections of urllib3 whose sockets another thread can cut.

1. `send_cuttable` makes a `CuttableSocket` for a call and puts it into `current_call`, because
   urllib3 has no way to pass it down.
2. `CuttableConnection`, which urllib3 makes or takes from its pool, attaches its socket to it.
3. An abort calls `CuttableSocket.cut`, which shuts the socket down and so wakes a blocked read.
4. Once the connection is back in the pool, `CuttableSocket.release` forgets the socket.
"""

from __future__ import annotations

import builtins
import contextlib
import http.client
import os
import socket
import ssl
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from urllib3 import exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from hfgen._core.headers import FRAMING_HEADERS
from hfgen._sync.chunked import Chunks

if TYPE_CHECKING:
    from collections.abc import Iterator


# Statuses of interim answers (RFC 9110, 15.2), without 101, which changes the protocol.
_INTERIM = frozenset({100, *range(102, 200)})
_READ_SIZE = 16 * 1024
# Headers and body are sent at once up to this size; copying more costs more than sending twice.
_SENT_AT_ONCE = 64 * 1024
# The value of SO_LINGER for 0 s.
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class CuttableSocket:
    """The socket of one call; cutting it wakes a blocked read.

    Attributes:
        state: "new"; "connecting" once there is a socket; "connected" with all handshakes done.
        is_reused: Whether the connection has served a request before.
        has_answer: Whether the first line of the answer has arrived.
    """

    def __init__(self) -> None:
        # Re-entrant: a signal handler may abort in the middle of any of these methods.
        self._lock = threading.RLock()
        self._socket: socket.socket | None = None
        self._copy: socket.socket | None = None
        self._is_cut = False
        self._process = os.getpid()
        self.state: Literal["new", "connecting", "connected"] = "new"
        self.is_reused = self.has_answer = False

    def is_stale(self, error: BaseException | None) -> bool:
        """Tell whether a request failed because the server had closed a kept-alive connection.

        Args:
            error: The innermost error of Python itself.
        """
        is_lost = isinstance(error, ConnectionError) and not self._is_cut
        return is_lost and self.is_reused and not self.has_answer

    def attach(self, sock: Any) -> None:
        """Let `cut` shut down this socket, or the one under this TLS object."""
        with self._lock:
            # The object for TLS inside TLS, as through an HTTPS proxy, holds the socket.
            self._socket = getattr(sock, "socket", sock)
            self._close_copy()
            if self.state == "new":
                self.state = "connecting"
            if self._is_cut:
                self._shut_down()
            else:
                _cuttable_sockets.add(self)

    def hold(self) -> None:
        """Attach a copy of the socket, because wrapping it in TLS detaches the original."""
        with self._lock:
            # TLS inside TLS does not detach the socket.
            if self._socket is not None and not isinstance(self._socket, ssl.SSLSocket):
                with contextlib.suppress(OSError):
                    self._copy = self._socket = self._socket.dup()

    def release(self) -> None:
        """Forget the socket: another call may use it now."""
        with self._lock:
            self._socket = None
            self._close_copy()
            _cuttable_sockets.discard(self)

    def cut(self) -> None:
        """Shut the socket down, now or as soon as there is one."""
        with self._lock:
            self._is_cut = True
            self._shut_down()
            _cuttable_sockets.discard(self)

    def _close_copy(self) -> None:
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def _shut_down(self) -> None:
        # After a fork the parent still uses the socket.
        if self._socket is not None and self._process == os.getpid():
            # Not SSLSocket.shutdown, which removes the TLS object that the blocked read uses.
            with contextlib.suppress(OSError):
                # Makes the close a reset. A server that is blocked in `send` sees a reset at once,
                # but an ordinary end only after it has sent its data.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


# Sockets in use. The set refers to them so that the garbage collector cannot finalise a socket
# before the stream that uses it.
_cuttable_sockets: set[CuttableSocket] = set()


class _CurrentCall(threading.local):
    """The call that this thread is making."""

    cuttable: CuttableSocket | None = None
    origin: str = ""
    target: str = ""

    def begin(self, cuttable: CuttableSocket, url: str) -> None:
        """Set the socket to attach to, and the URL of the request."""
        parts = urlsplit(url)
        self.cuttable = cuttable
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.target = urlunsplit(("", "", parts.path or "/", parts.query, ""))

    def end(self) -> None:
        """Forget the call."""
        self.cuttable = None


current_call = _CurrentCall()


class _StatusLines:
    """The head of an answer, read line by line. Raises an error where it is cut off."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.has_begun = False

    def readline(self, limit: int) -> bytes:
        line: bytes = self._file.readline(limit)
        is_cut = len(line) < limit and not line.endswith(b"\n")
        if is_cut and (line or self.has_begun):
            raise http.client.RemoteDisconnected("the server closed it inside the headers")
        self.has_begun = bool(line)
        return line

    def close(self) -> None:
        self._file.close()


class Response(http.client.HTTPResponse):
    """A response that http.client reads, but for two things.

    A connection that ends inside the headers is an error; http.client takes it for their end. And
    `pieces` reads a chunked body as it arrives; http.client reads one chunk at a time.
    """

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._socket = sock

    def begin(self) -> None:
        file = self.fp
        self.fp = lines = _StatusLines(file)  # type: ignore[assignment] # only lines are read from it
        try:
            super().begin()
            while self.status in _INTERIM:
                # http.client skips only 100. If they never end, the deadlines of the call do.
                self.headers = None  # type: ignore[assignment] # not read yet
                super().begin()
        finally:
            self.fp = file
            if current_call.cuttable is not None:
                current_call.cuttable.has_answer = lines.has_begun
        _check_framing(self)

    def pieces(self) -> Iterator[bytes]:
        """Yield a chunked body as it arrives; close the response at its end.

        Raises:
            http.client.IncompleteRead: The body is cut off.
            ValueError: The body is not chunked.
            OSError: Reading fails.
        """
        chunks = Chunks()
        # Empties the buffer of http.client. From then on the socket is read directly, because each
        # layer in between costs time for each token.
        data = self.fp.read1()
        while data:
            if piece := chunks.feed(data):
                yield piece
            if chunks.complete:
                break
            data = self._socket.recv(_READ_SIZE)
        else:
            raise http.client.IncompleteRead(b"")
        if chunks.rest:
            # Bytes after the body belong to no request, so the connection cannot be trusted.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self.close()


def _check_framing(response: http.client.HTTPResponse) -> None:
    """Raise `ValueError` if headers do not say clearly where the body ends, as aiohttp does."""
    # One pass over all headers: looking a name up goes through all of them as well.
    framing = [
        (name.lower(), value)
        for name, value in response.headers.raw_items()
        if name.lower() in FRAMING_HEADERS
    ]
    if len(framing) > 1:
        raise ValueError("more than one Content-Length, or one beside Transfer-Encoding")
    for name, value in framing:
        if name == "content-length" and not (value.isascii() and value.strip().isdecimal()):
            raise ValueError("Content-Length is not a number")


class CuttableConnection(HTTPConnection):
    """A mixin for connections of urllib3: attaches their socket to the current call."""

    response_class = Response
    _held: list[bytes] | None = None
    _has_served = False

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        if current_call.cuttable is not None:
            current_call.cuttable.attach(sock)
            if isinstance(self, HTTPSConnection):
                current_call.cuttable.hold()
        return sock

    def connect(self) -> None:
        self._has_served = False
        super().connect()
        self._attach()

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        self._attach()
        if current_call.cuttable is not None:
            # urllib3 has quoted the URL once more on its way here.
            url = current_call.origin * self.proxy_is_forwarding + current_call.target
        held: list[bytes] = []
        self._held = held
        try:
            super().request(method, url, *args, **kwargs)
        finally:
            # `super().request` may connect first, and the handshake sends by itself.
            self._held = None
        if self.sock is None:
            self.connect()
        # The limit for connecting does not apply to sending.
        self.sock.settimeout(None)
        if current_call.cuttable is not None:
            current_call.cuttable.is_reused = self._has_served
        self._has_served = True
        if sum(map(len, held)) <= _SENT_AT_ONCE:
            held = [b"".join(held)]
        for part in held:
            self.send(part)

    def send(self, data: Any) -> None:
        """Send now, but keep the parts of a request, to send headers and body together."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    def _attach(self) -> None:
        if current_call.cuttable is not None and self.sock is not None:
            current_call.cuttable.attach(self.sock)
            current_call.cuttable.state = "connected"


class _Connecting(HTTPConnection):
    """A connection that attaches its socket to the call before it connects."""

    def _new_conn(self) -> socket.socket:
        # urllib3 returns the socket only once it has connected, which is too late to cut it.
        try:
            return self._connect_socket()
        except socket.gaierror as error:
            raise exceptions.NameResolutionError(self.host, self, error) from error
        except builtins.TimeoutError as error:
            raise exceptions.ConnectTimeoutError(self, str(error)) from error
        except OSError as error:
            raise exceptions.NewConnectionError(self, str(error)) from error

    def _connect_socket(self) -> socket.socket:
        failure: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self._dns_host, self.port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(self.timeout)
                if current_call.cuttable is not None:
                    current_call.cuttable.attach(sock)
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


class _Plain(CuttableConnection, _Connecting):
    """Plain HTTP."""


class _TLS(CuttableConnection, _Connecting, HTTPSConnection):
    """HTTPS."""


class HTTPPool(HTTPConnectionPool):
    """A pool of cuttable connections."""

    ConnectionCls = _Plain


class HTTPSPool(HTTPSConnectionPool):
    """A pool of cuttable connections over TLS."""

    ConnectionCls = _TLS
