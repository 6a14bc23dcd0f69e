"""The socket of a call on the sync side, to be cut from another thread."""

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

from hfgen._sync.chunked import Chunks

if TYPE_CHECKING:
    from collections.abc import Iterator


# What may come before an answer (RFC 9110, 15.2), without the one that changes the protocol.
_INTERIM = frozenset({100, *range(102, 200)})
_READ_SIZE = 16 * 1024
# The headers and a body, together: beyond this, copying costs more than sending twice.
_SENT_AT_ONCE = 64 * 1024
# The option `linger` for 0 s.
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class CuttableSocket:
    """The socket of one call; cutting it wakes a blocked read.

    Attributes:
        state: "new"; "connecting" once there is a socket; "connected" with all handshakes done.
    """

    def __init__(self) -> None:
        # One that may be taken twice: a signal handler may abort in the middle of these.
        self._lock = threading.RLock()
        self._socket: socket.socket | None = None
        self._copy: socket.socket | None = None
        self._is_cut = False
        self._process = os.getpid()
        self.state: Literal["new", "connecting", "connected"] = "new"

    def attach(self, sock: Any) -> None:
        """Watch a socket, or TLS over one."""
        with self._lock:
            # TLS inside TLS, as it is spoken through a proxy, holds the socket inside.
            self._socket = getattr(sock, "socket", sock)
            self._drop_copy()
            if self.state == "new":
                self.state = "connecting"
            if self._is_cut:
                self._shut_down()
            else:
                _cuttable_sockets.add(self)

    def hold(self) -> None:
        """Watch a copy of the socket: TLS is about to take it over, and leaves a shell of it."""
        with self._lock:
            # TLS inside TLS leaves the socket where it is.
            if self._socket is not None and not isinstance(self._socket, ssl.SSLSocket):
                with contextlib.suppress(OSError):
                    self._copy = self._socket = self._socket.dup()

    def release(self) -> None:
        """Let go of the socket: it is somebody else's."""
        with self._lock:
            self._socket = None
            self._drop_copy()
            _cuttable_sockets.discard(self)

    def cut(self) -> None:
        """Shut the socket down, now or as soon as there is one."""
        with self._lock:
            self._is_cut = True
            self._shut_down()
            _cuttable_sockets.discard(self)

    def _drop_copy(self) -> None:
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def _shut_down(self) -> None:
        # What a forked child lets go of is still its parent's.
        if self._socket is not None and self._process == os.getpid():
            # Not SSLSocket.shutdown: it takes the TLS object from under the blocked read.
            with contextlib.suppress(OSError):
                # Closed after this, it is reset: a server that is blocked because nobody reads
                # would not see a mere end before it has sent what it has.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


# Sockets in use, held so that the garbage collector does not finalise one before its stream.
_cuttable_sockets: set[CuttableSocket] = set()


class _CurrentCall(threading.local):
    """The call that this thread is making: urllib3 has no way to hand it down."""

    line: CuttableSocket | None = None
    origin: str = ""
    target: str = ""

    def begin(self, line: CuttableSocket, url: str) -> None:
        """Set what the connection of the call is to know: the line to tell, and the whole URL."""
        parts = urlsplit(url)
        self.line = line
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.target = urlunsplit(("", "", parts.path or "/", parts.query, ""))

    def end(self) -> None:
        """Forget the call."""
        self.line = None


current_call = _CurrentCall()


class _StatusLines:
    """The start of an answer, to be read line by line; where it is cut off, it is an error."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._has_begun = False

    def readline(self, limit: int) -> bytes:
        line: bytes = self._file.readline(limit)
        is_cut = len(line) < limit and not line.endswith(b"\n")
        if is_cut and (line or self._has_begun):
            raise http.client.RemoteDisconnected("the server closed it inside the headers")
        self._has_begun = True
        return line

    def close(self) -> None:
        self._file.close()


class Response(http.client.HTTPResponse):
    """An answer with all of its headers: http.client takes the end of the connection for theirs.

    Of a chunked body it reads all that has come at once, and not a chunk at a time.
    """

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._socket = sock

    def begin(self) -> None:
        file = self.fp
        self.fp = _StatusLines(file)  # type: ignore[assignment] # all that is asked of it is lines
        try:
            super().begin()
            while self.status in _INTERIM:
                # http.client passes over a 100 alone. (If they do not end, the call's time does.)
                self.headers = None  # type: ignore[assignment] # it means: not yet
                super().begin()
        finally:
            self.fp = file

    def pieces(self) -> Iterator[bytes]:
        """Yield a chunked body as it arrives, and be closed at its end.

        Raises:
            http.client.IncompleteRead: It is cut off.
            ValueError: It is not chunked.
            OSError: Reading fails.
        """
        chunks = Chunks()
        # What came along with the headers, or what comes next; then there is nothing left in the
        # buffer, and every further layer would be for each token.
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
            # Nobody asked for it: what comes over this connection is not to be believed.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self.close()


class CuttableConnection(HTTPConnection):
    """A connection of urllib3 that tells the call which socket it goes over; a mixin."""

    response_class = Response
    _held: list[bytes] | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        if current_call.line is not None:
            current_call.line.attach(sock)
            if isinstance(self, HTTPSConnection):
                current_call.line.hold()
        return sock

    def connect(self) -> None:
        super().connect()
        self._attach()

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        self._attach()
        if current_call.line is not None:
            # As it stands: on its way here it was quoted once more.
            url = current_call.origin * self.proxy_is_forwarding + current_call.target
        held: list[bytes] = []
        self._held = held
        try:
            super().request(method, url, *args, **kwargs)
        finally:
            # Connecting, which sending may begin with, sends by itself.
            self._held = None
        if sum(map(len, held)) <= _SENT_AT_ONCE:
            held = [b"".join(held)]
        for part in held:
            self.send(part)

    def send(self, data: Any) -> None:
        """Send, but what belongs to a request at its end: the headers go with the body."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    def _attach(self) -> None:
        if current_call.line is not None and self.sock is not None:
            current_call.line.attach(self.sock)
            current_call.line.state = "connected"


class _Connecting(HTTPConnection):
    """A connection that tells the call which socket it goes over before it is connected."""

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
                if current_call.line is not None:
                    current_call.line.attach(sock)
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
    """A connection that the call can cut."""


class _TLS(CuttableConnection, _Connecting, HTTPSConnection):
    """The same, over TLS."""


class HTTPPool(HTTPConnectionPool):
    """Connections that the call can cut."""

    ConnectionCls = _Plain


class HTTPSPool(HTTPSConnectionPool):
    """The same, over TLS."""

    ConnectionCls = _TLS
