"""HTTP and events, as simply as the proxy and its upstream need them; none of it is hfgen's."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import StreamReader


@dataclass(frozen=True, slots=True)
class Request:
    """A request: its headers, and the JSON of its body."""

    headers: dict[str, str]
    json: dict[str, Any]


async def read_request(reader: StreamReader) -> Request:
    """Read a request.

    Raises:
        EOFError: There is none, or only a part of one.
    """
    _, headers = _parse_head(await reader.readuntil(b"\r\n\r\n"))
    body = await reader.readexactly(int(headers["content-length"]))
    return Request(headers, json.loads(body))


def request(body: dict[str, Any], headers: dict[str, str]) -> bytes:
    """Return a request."""
    content = json.dumps(body).encode()
    return _write_head("POST / HTTP/1.1", headers | {"content-length": str(len(content))}) + content


def head(status: int, headers: dict[str, str]) -> bytes:
    """Return what comes before the body of an answer."""
    return _write_head(f"HTTP/1.1 {status} So", headers)


def chunk(piece: bytes) -> bytes:
    """Return a chunk of a body in chunks; an empty one is its end."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


@dataclass(frozen=True, slots=True)
class ReceivedAnswer:
    """What a client makes of the bytes of an answer, as far as they came.

    Attributes:
        framing: How the end of the body is told; None where the headers are not whole.
        body: What came of the body.
        is_whole: Whether the framing shows that the body is complete; never with framing "close".
    """

    framing: str | None
    body: bytes
    is_whole: bool

    @staticmethod
    def of(raw: bytes) -> ReceivedAnswer:
        start, blank, rest = raw.partition(b"\r\n\r\n")
        if not blank:
            return ReceivedAnswer(None, b"", is_whole=False)
        _, headers = _parse_head(start + blank)
        if (length := headers.get("content-length")) is not None:
            return ReceivedAnswer("length", rest, is_whole=len(rest) == int(length))
        if "transfer-encoding" not in headers:
            return ReceivedAnswer("close", rest, is_whole=False)
        body = b""
        while True:
            size, newline, rest = rest.partition(b"\r\n")
            if not newline:
                # A lone "0" is read as the end as well: there is nothing that could follow.
                return ReceivedAnswer("chunked", body, is_whole=size == b"0")
            if not (length_left := int(size, 16)):
                return ReceivedAnswer("chunked", body, is_whole=True)
            body += rest[:length_left]
            rest = rest[length_left + 2 :]

    def events(self, *, is_end: bool) -> list[dict[str, Any]]:
        """Return the events that have come as a whole.

        Args:
            is_end: Whether the end of the connection was the end of the body: what came of a last
                event before it then counts if it can be read.
        """
        *whole, rest = self.body.split(b"\n\n")
        events = [json.loads(event.removeprefix(b"data: ")) for event in whole]
        if is_end:
            with contextlib.suppress(ValueError):
                events.append(json.loads(rest.removeprefix(b"data: ")))
        return events


def _write_head(first: str, headers: dict[str, str]) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _parse_head(message: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = message.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    return first, {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
