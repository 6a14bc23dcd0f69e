"""The socket of a call on the sync side, to be cut from another thread."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from urllib3.connection import HTTPConnection, HTTPSConnection


class Line:
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
                _lines.add(self)

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
            _lines.discard(self)

    def cut(self) -> None:
        """Shut the socket down, now or as soon as there is one."""
        with self._lock:
            self._is_cut = True
            self._shut_down()
            _lines.discard(self)

    def _drop_copy(self) -> None:
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def _shut_down(self) -> None:
        # What a forked child lets go of is still its parent's.
        if self._socket is not None and self._process == os.getpid():
            # Not SSLSocket.shutdown: it takes the TLS object from under the blocked read.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


# Sockets in use, held so that the garbage collector does not finalise one before its stream.
_lines: set[Line] = set()


class _Calling(threading.local):
    """The call that this thread is making: urllib3 has no way to hand it down."""

    line: Line | None = None
    origin: str = ""
    target: str = ""

    def begin(self, line: Line, url: str) -> None:
        """Set what the connection of the call is to know: the line to tell, and the whole URL."""
        parts = urlsplit(url)
        self.line = line
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.target = urlunsplit(("", "", parts.path or "/", parts.query, ""))

    def end(self) -> None:
        """Forget the call."""
        self.line = None


calling = _Calling()


class Watched(HTTPConnection):
    """A connection of urllib3 that tells the call which socket it goes over; a mixin."""

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        if calling.line is not None:
            calling.line.attach(sock)
            if isinstance(self, HTTPSConnection):
                calling.line.hold()
        return sock

    def connect(self) -> None:
        super().connect()
        self._attach()

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        self._attach()
        if calling.line is not None:
            # As it stands: on its way here it was quoted once more.
            url = calling.origin * self.proxy_is_forwarding + calling.target
        super().request(method, url, *args, **kwargs)

    def _attach(self) -> None:
        if calling.line is not None and self.sock is not None:
            calling.line.attach(self.sock)
            calling.line.state = "connected"
