"""One connection of a client: reads its requests, and sends what the script says.

`serve_connection` runs on a thread of its own for each connection. It does the TLS handshake,
then reads a request, has the record choose the answer, and sends that step by step; and so on,
until the client hangs up, the script cuts the connection, or the server is closed.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import sys
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from hfgen._core.headers import Headers
from hfgen.testing._answers import Cut, Hang, Pause
from hfgen.testing._request import RecordedRequest, note_hang_up

if TYPE_CHECKING:
    import ssl

    from hfgen.testing._answers import ScriptedAnswer
    from hfgen.testing._record import Record

_READ_SIZE = 64 * 1024
_MAX_HEAD = 1024 * 1024
# The option `linger` of 0 s: closing the socket then sends a TCP reset.
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/1\.([01])")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(;.*)?")
# Responses with these statuses have no body, whatever their headers say (RFC 9112, 6.3).
_BODILESS = frozenset({204, 304})


class BadRequestError(ValueError):
    """The client sent something that is not an HTTP/1.1 request."""


class Connection:
    """A socket that requests are read from. One thread uses it; others may only `shut_down` it.

    Args:
        sock: The socket. From now on the connection closes it.
        number: The number of the connection, counted from 1.
        tls: The context to speak TLS with; None to speak plain HTTP.

    Attributes:
        keeps_alive: Whether the client may send another request after the last one.
        cut: How the script has cut the connection; None if it has not.

    Raises:
        OSError: The client has hung up already.
    """

    def __init__(self, sock: socket.socket, number: int, tls: ssl.SSLContext | None) -> None:
        self.keeps_alive = True
        self.cut: Cut | None = None
        self._number = number
        # What was received and is not yet part of a request that was read.
        self._unread = b""
        self._is_tls = tls is not None
        # On some systems an accepted socket inherits the mode of the listener: non-blocking.
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._sock = sock
        # Held while closing: the system may give the number of a closed socket to another one,
        # which `shut_down` must not touch.
        self._closing = threading.Lock()

    def shake_hands(self) -> bool:
        """Do the TLS handshake, if there is TLS; return whether requests can be read now."""
        try:
            if self._is_tls:
                self._sock.do_handshake()  # type: ignore[attr-defined]
        except OSError:
            return False
        return True

    def read_request(self) -> RecordedRequest | None:
        """Return the next request with its whole body; None if the client hangs up before.

        Raises:
            BadRequestError: What the client sent is not an HTTP/1.1 request.
        """
        try:
            while not (unread := self._unread.lstrip(b"\r\n")):
                self._receive()
            self._unread = unread
            method, path, version, headers = _parse_head(self._read_until(b"\r\n\r\n"))
            if "100-continue" in headers.get("expect", "").lower():
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self._read_body(headers)
        except (OSError, EOFError):
            return None
        wants_close = "close" in headers.get("connection", "").lower()
        self.keeps_alive = version == "1" and not wants_close
        return RecordedRequest(method, path, headers, body, connection=self._number)

    def send(self, data: bytes) -> None:
        """Send all of the data.

        Raises:
            OSError: The client has hung up.
        """
        self._sock.sendall(data)

    def wait(self, seconds: float | None) -> None:
        """Send nothing for that long. What the client sends meanwhile is kept for `read_request`.

        Args:
            seconds: How long; None to wait until the client hangs up.

        Raises:
            OSError: The client has hung up, by a reset.
            EOFError: The client has hung up.
        """
        end = None if seconds is None else time.monotonic() + seconds
        with contextlib.suppress(TimeoutError):
            while (
                remaining := None if end is None else end - time.monotonic()
            ) is None or remaining > 0:
                self._sock.settimeout(remaining)
                self._receive()
        self._sock.settimeout(None)

    def shut_down(self) -> None:
        """End what the connection's thread waits for: it reads the end, and its sending fails."""
        # Not SSLSocket.shutdown: it takes the TLS object from under a blocked read.
        with self._closing, contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection: as `cut` says, or else in order, with TLS's closing message."""
        with contextlib.suppress(OSError, ValueError):
            if self.cut is None and self._is_tls:
                # The client's closing message is not waited for.
                self._sock.settimeout(0)
                self._sock.unwrap()  # type: ignore[attr-defined]
            elif self.cut is not None and self.cut.reset:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        with self._closing:
            self._sock.close()

    def _read_body(self, headers: Headers) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", "").lower():
            length = headers.get("content-length", "0")
            if not (length.isascii() and length.isdigit()):
                raise BadRequestError(f"content-length is {length!r}")
            return self._read_exactly(int(length))
        body = []
        while size := _parse_chunk_size(self._read_until(b"\r\n")):
            body.append(self._read_exactly(size))
            self._read_until(b"\r\n")
        while self._read_until(b"\r\n"):
            pass  # trailers
        return b"".join(body)

    def _read_until(self, end: bytes) -> bytes:
        """Return what comes before `end`, and drop `end` itself."""
        while end not in self._unread:
            # What is not HTTP, such as the start of a TLS handshake, may never have this end.
            if len(self._unread) > _MAX_HEAD or not self._unread[:1].isascii():
                raise BadRequestError("it is not HTTP")
            if self._unread.startswith(b"\x16\x03"):
                raise BadRequestError("it is TLS, and this server was started without `tls`")
            self._receive()
        content, _, self._unread = self._unread.partition(end)
        return content

    def _read_exactly(self, size: int) -> bytes:
        pieces, missing = [self._unread], size - len(self._unread)
        while missing > 0:
            self._unread = b""
            self._receive()
            pieces.append(self._unread)
            missing -= len(self._unread)
        received = b"".join(pieces)
        self._unread = received[size:]
        return received[:size]

    def _receive(self) -> None:
        if not (piece := self._sock.recv(_READ_SIZE)):
            raise EOFError
        self._unread += piece


def serve_connection(connection: Connection, record: Record) -> None:
    """Answer requests until the connection ends, then close it."""
    try:
        if connection.shake_hands():
            while not record.stopped and _answer_request(connection, record):
                pass
    finally:
        connection.close()


def _answer_request(connection: Connection, record: Record) -> bool:
    """Read a request and answer it; return whether another one may follow."""
    try:
        request = connection.read_request()
    except BadRequestError as error:
        with contextlib.suppress(OSError):
            connection.send(
                b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\n"
                b"not an HTTP/1.1 request: %b\n" % str(error).encode()
            )
        return False
    if request is None:
        return False
    answer = record.begin_answer(request)
    try:
        connection.cut = _send_answer(connection, request, answer)
        request.answered.set()
    except (OSError, EOFError):
        # A server that is being closed breaks answers off itself: these are no hang-ups.
        if not record.stopped:
            note_hang_up(request)
        return False
    finally:
        record.end_answer()
    return (
        connection.cut is None
        and connection.keeps_alive
        and answer.framing in {"chunked", "length"}
    )


def _send_answer(
    connection: Connection, request: RecordedRequest, answer: ScriptedAnswer
) -> Cut | None:
    """Send the answer up to its end or its first `Cut`, which is returned.

    Raises:
        OSError: The client has hung up.
        EOFError: The same.
    """
    connection.wait(answer.delay)
    if answer.framing != "raw":
        connection.send(_format_head(answer, keeps_alive=connection.keeps_alive))
    if request.method == "HEAD" or answer.status in _BODILESS:
        return None
    for step in answer.body:
        if isinstance(step, bytes):
            connection.send(_frame_piece(answer, step))
            request.bytes_sent += len(step)
        elif isinstance(step, Pause):
            connection.wait(step.seconds)
        elif isinstance(step, Hang):
            connection.wait(None)
        else:
            return step
    if answer.framing == "chunked":
        connection.send(b"0\r\n\r\n")
    return None


def _parse_head(head: bytes) -> tuple[str, str, str, Headers]:
    """Return method, path, minor version of HTTP ("0" or "1") and headers of a request.

    Raises:
        BadRequestError: The bytes are not the head of an HTTP/1.1 request.
    """
    first_line, *lines = head.decode("latin-1").split("\r\n")
    if not (match := _REQUEST_LINE.fullmatch(first_line)):
        raise BadRequestError("its first line is not that of a request")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequestError("it has a header without a colon")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return match[1], match[2], match[3], Headers(headers)


def _parse_chunk_size(line: bytes) -> int:
    """Return the size in bytes that the first line of a chunk names.

    Raises:
        BadRequestError: The line names none.
    """
    if not (match := _CHUNK_SIZE.fullmatch(line)):
        raise BadRequestError("it has a chunk without a size")
    return int(match[1], 16)


def _format_head(answer: ScriptedAnswer, *, keeps_alive: bool) -> bytes:
    """Return the status line and the headers of an answer, with the empty line after them."""
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "Scripted"
    headers = list(answer.headers)
    names = {name.lower() for name, _ in headers}
    headers += [
        (name, value)
        for name, value in _framing_headers(answer, keeps_alive=keeps_alive)
        if name not in names
    ]
    lines = [f"HTTP/1.1 {answer.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _framing_headers(answer: ScriptedAnswer, *, keeps_alive: bool) -> list[tuple[str, str]]:
    headers = []
    if answer.framing == "chunked" and answer.status not in _BODILESS:
        headers.append(("transfer-encoding", "chunked"))
    elif answer.framing == "length" and answer.status not in _BODILESS:
        length = sum(len(step) for step in answer.body if isinstance(step, bytes))
        headers.append(("content-length", str(length)))
    if answer.framing == "close" or not keeps_alive:
        headers.append(("connection", "close"))
    return headers


def _frame_piece(answer: ScriptedAnswer, piece: bytes) -> bytes:
    """Return a piece of the body as it is sent."""
    if answer.framing != "chunked" or not piece:
        # An empty piece sends nothing: an empty chunk would end the body.
        return piece
    return b"%x\r\n%b\r\n" % (len(piece), piece)
