"""One connection of a client, with what it has sent and nobody has read yet."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING

from hfgen.testing._http import NoRequestError, parse_head, parse_size
from hfgen.testing._request import RecordedRequest

if TYPE_CHECKING:
    import ssl

    from hfgen.testing._http import RequestHead

_PIECE = 64 * 1024
_MAX_LINE = 1024 * 1024
# The option `linger` for 0 s: the system then closes by a reset.
_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Line:
    """A connection. One thread reads and sends; any other may only `shut_down` it.

    Args:
        sock: The socket, which is the line's from now on.
        number: The number of the connection.
        tls: What to speak TLS with; None to do without.

    Raises:
        OSError: The client has left already.
    """

    def __init__(self, sock: socket.socket, number: int, tls: ssl.SSLContext | None) -> None:
        self.number = number
        self._unread = b""
        self._is_tls = tls is not None
        # On some systems it has this from the socket that accepted it.
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._sock = sock
        self.keeps = True
        # Another thread must not shut down a socket whose number is somebody else's by now.
        self._closing = threading.Lock()

    def shake_hands(self) -> bool:
        """Do what has to be done before the first request; return whether that went well."""
        try:
            if self._is_tls:
                self._sock.do_handshake()  # type: ignore[attr-defined]
        except OSError:
            return False
        return True

    def read(self) -> RecordedRequest | None:
        """Return the next request as a whole, None if the client has hung up instead.

        Then `keeps` says whether the client may ask for more over the connection.

        Raises:
            NoRequestError: What has come is none.
        """
        try:
            while not (unread := self._unread.lstrip(b"\r\n")):
                self._receive()
            self._unread = unread
            head = parse_head(self._until(b"\r\n\r\n"))
            if "100-continue" in head.headers.get("expect", "").lower():
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self._body(head)
        except (OSError, EOFError):
            return None
        self.keeps = head.keeps_connection
        return RecordedRequest(head.method, head.path, head.headers, body, connection=self.number)

    def send(self, data: bytes) -> None:
        """Send it all.

        Raises:
            OSError: The client has hung up.
        """
        self._sock.sendall(data)

    def idle(self, seconds: float | None) -> bool:
        """Do nothing for so many seconds, None for no end; return False once the client hangs up.

        What it sends meanwhile is kept for later.
        """
        end = None if seconds is None else time.monotonic() + seconds
        try:
            while (left := None if end is None else end - time.monotonic()) is None or left > 0:
                self._sock.settimeout(left)
                self._receive()
        except TimeoutError:
            pass
        except (OSError, EOFError):
            return False
        self._sock.settimeout(None)
        return True

    def shut_down(self) -> None:
        """Let whatever waits for the client, or sends to it, come to an end."""
        # Not SSLSocket.shutdown: it takes the TLS object from under a blocked read.
        with self._closing, contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self, *, in_order: bool = True, reset: bool = False) -> None:
        """Close the connection.

        Args:
            in_order: Whether to say goodbye where TLS wants that.
            reset: Whether to close by a TCP reset.
        """
        with contextlib.suppress(OSError, ValueError):
            if reset:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            elif self._is_tls and in_order:
                # Nobody waits for the answer to it.
                self._sock.settimeout(0)
                self._sock.unwrap()  # type: ignore[attr-defined]
        with self._closing:
            self._sock.close()

    def _body(self, head: RequestHead) -> bytes:
        if (length := head.length) is not None:
            return self._take(length)
        body = []
        while size := parse_size(self._until(b"\r\n")):
            body.append(self._take(size))
            self._until(b"\r\n")
        while self._until(b"\r\n"):
            pass  # trailers
        return b"".join(body)

    def _until(self, end: bytes) -> bytes:
        """Return what comes before these bytes, which are left out."""
        while end not in self._unread:
            # A line that is no HTTP, such as the greeting of TLS, may never end.
            if len(self._unread) > _MAX_LINE or not self._unread[:1].isascii():
                raise NoRequestError("no HTTP")
            if self._unread.startswith(b"\x16\x03"):
                raise NoRequestError("TLS, and this server speaks none")
            self._receive()
        taken, _, self._unread = self._unread.partition(end)
        return taken

    def _take(self, size: int) -> bytes:
        pieces, missing = [self._unread], size - len(self._unread)
        while missing > 0:
            self._unread = b""
            self._receive()
            pieces.append(self._unread)
            missing -= len(self._unread)
        whole = b"".join(pieces)
        self._unread = whole[size:]
        return whole[:size]

    def _receive(self) -> None:
        if not (piece := self._sock.recv(_PIECE)):
            raise EOFError
        self._unread += piece
