"""Bytes to server-sent events, to the letter of the WHATWG's text/event-stream. No I/O.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

One rule is hfgen's own: an event that the end of the stream cut off before its blank line still
counts, because servers leave that line out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hfgen._errors import MalformedStreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOM = b"\xef\xbb\xbf"

# A last event repeats the whole text: a million tokens come to about a quarter of this.
MAX_EVENT_BYTES = 16 * 1024 * 1024
_FIELD = len(b"data: ")


class Event(NamedTuple):
    """One event: its type ("message" is empty here) and its data, lines joined by LF."""

    name: bytes
    data: bytes


class EventDecoder:
    """Push decoder: `feed` it the body in whatever pieces it arrives, then `flush` it once.

    Args:
        max_event_bytes: How much data an event may have.
    """

    __slots__ = ("_after_cr", "_data", "_head", "_line", "_line_size", "_max", "_name", "_size")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        # The first bytes, until it is clear whether they are a byte order mark; then None.
        self._head: bytes | None = b""
        # Whether the last byte was a CR: an LF that follows belongs to it.
        self._after_cr = False
        # The pieces of a line whose end has not come yet.
        self._line: list[bytes] = []
        self._line_size = 0
        # The event whose blank line has not come yet.
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Yield the events that this piece completes.

        Raises:
            MalformedStreamError: An event exceeds `max_event_bytes`.
        """
        if self._head is not None:
            self._head += piece
            if len(self._head) < len(_BOM) and _BOM.startswith(self._head):
                return
            piece, self._head = self._head.removeprefix(_BOM), None
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        # Only LF ends a line from here on: str.splitlines would cut at U+2028 and others as well.
        lines = piece.split(b"\n")
        rest = lines.pop()
        if lines:
            if self._line:
                lines[0] = b"".join([*self._line, lines[0]])
                self._line, self._line_size = [], 0
            yield from self._read(lines)
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
            self._check(self._line_size - _FIELD, self._line)

    def flush(self) -> Iterator[Event]:
        """Yield the event that the end of the stream cut off, if there is one."""
        if self._head:
            self._line, self._head = [self._head], None
        yield from self._read([b"".join(self._line), b""])
        self._line = []

    def _read(self, lines: list[bytes]) -> Iterator[Event]:
        for line in lines:
            if len(line) > self._max:
                self._check(len(line) - _FIELD, [line])
            if line.startswith(b"data:"):
                self._append(line[6:] if line.startswith(b" ", 5) else line[5:])
            elif line:
                self._read_field(line)
            else:
                name, data = self._name, self._data
                self._name, self._data, self._size = b"", [], 0
                if data:
                    yield Event(name, data[0] if len(data) == 1 else b"\n".join(data))

    def _read_field(self, line: bytes) -> None:
        """Take in a line that is not the usual `data:`; a comment has an empty name."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._append(value)
        elif name == b"event":
            self._name = value
        elif name == b"error":
            # Not in the standard: llama.cpp reported errors in a field of that name.
            self._name = b"error"
            self._append(value)

    def _append(self, value: bytes) -> None:
        self._size += len(value) + bool(self._data)
        self._data.append(value)
        self._check(self._size, self._data)

    def _check(self, size: int, pieces: list[bytes]) -> None:
        if size > self._max:
            start = b"".join(pieces[:100])[:100]
            raise MalformedStreamError(
                f"an event in the stream exceeds {self._max} bytes (max_event_bytes); "
                f"it starts {start!r}"
            )
