"""HTTP/1.1, as much of it as a scripted server needs: bytes to a head and back. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from hfgen._core.headers import Headers

if TYPE_CHECKING:
    from hfgen.testing._answer import ScriptedAnswer

_FIRST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/1\.([01])")
_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(;.*)?")
# These have no body, whatever their headers say (RFC 9112, 6.3).
_BODILESS = frozenset({204, 304})


class NoRequestError(ValueError):
    """What came is no request."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The first line and the headers of a request."""

    method: str
    path: str
    headers: Headers
    is_old: bool
    """Whether it is of HTTP/1.0, which keeps no connection."""

    @property
    def length(self) -> int | None:
        """How long the body is in bytes; None if it comes in chunks.

        Raises:
            NoRequestError: The header is no length.
        """
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return None
        length = self.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise NoRequestError(f"no length: {length!r}")
        return int(length)

    @property
    def keeps_connection(self) -> bool:
        """Whether the client may ask for more over the connection."""
        return not self.is_old and "close" not in self.headers.get("connection", "").lower()


def parse_head(head: bytes) -> RequestHead:
    """Return what the head of a request says, without the empty line at its end.

    Raises:
        NoRequestError: It is none.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    if not (found := _FIRST_LINE.fullmatch(first)):
        raise NoRequestError("no request line")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise NoRequestError("a header without a colon")
        name = name.lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return RequestHead(found[1], found[2], Headers(headers), is_old=found[3] == "0")


def parse_size(line: bytes) -> int:
    """Return the size that the first line of a chunk tells.

    Raises:
        NoRequestError: It tells none.
    """
    if not (found := _SIZE.fullmatch(line)):
        raise NoRequestError("no size of a chunk")
    return int(found[1], 16)


def has_body(answer: ScriptedAnswer, method: str) -> bool:
    """Return whether the answer to a request of this method has a body at all."""
    return method != "HEAD" and answer.status not in _BODILESS


def head(answer: ScriptedAnswer, *, keeps_connection: bool) -> bytes:
    """Return the status line and the headers of an answer, with the empty line after them."""
    fields = list(answer.headers)
    names = {name.lower() for name, _ in fields}
    for name, value in _framing(answer, keeps_connection=keeps_connection).items():
        if name not in names:
            fields.append((name, value))
    lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def frame(answer: ScriptedAnswer, piece: bytes) -> bytes:
    """Return a piece of the body as it goes over the wire."""
    if answer.framing != "chunked" or not piece:
        # An empty chunk would be the last one.
        return piece
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def _framing(answer: ScriptedAnswer, *, keeps_connection: bool) -> dict[str, str]:
    headers = {}
    if answer.status in _BODILESS:
        pass
    elif answer.framing == "chunked":
        headers["transfer-encoding"] = "chunked"
    elif answer.framing == "length":
        length = sum(len(step) for step in answer.body if isinstance(step, bytes))
        headers["content-length"] = str(length)
    if answer.framing == "close" or not keeps_connection:
        headers["connection"] = "close"
    return headers


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Scripted"
