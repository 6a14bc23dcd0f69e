"""Bytes to server-sent events, to the letter of the WHATWG's text/event-stream. No I/O.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

One rule is hfgen's own: an event that the end of the stream cut off before its blank line still
counts, because servers leave that line out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hfgen._core.errors import MalformedStreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BOM = b"\xef\xbb\xbf"
_MAYBE_BOM = (b"", _BOM[:1])

# A last event repeats the whole text: a million tokens come to about a quarter of this.
MAX_EVENT_BYTES = 16 * 1024 * 1024
_FIELD = len(b"data: ")
# As numbers: looking for bytes in bytes, CPython first makes an error of them and drops it.
_CR, _LF, _SPACE = b"\r\n "


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event: its type ("message" is empty here) and its data, lines joined by LF."""

    name: bytes
    data: bytes


class EventDecoder:
    """Push decoder: `feed` it the body in whatever pieces it arrives, then `flush` it once.

    Args:
        max_event_bytes: How much data an event may have.
    """

    __slots__ = ("_after_cr", "_data", "_head", "_line", "_max", "_name")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        # The first bytes, until it is clear whether they are a byte order mark; then None.
        self._head: bytes | None = b""
        # Whether the last byte was a CR: an LF that follows belongs to it.
        self._after_cr = False
        # The start of a line whose end has not come yet.
        self._line = bytearray()
        # The event whose blank line has not come yet. Most have one line; of many, an object a
        # line would take a multiple of their size.
        self._name = b""
        self._data: bytes | bytearray | None = None

    def feed(self, piece: bytes) -> Iterable[Event]:  # noqa: C901 - from the likeliest on
        """Return the events that this piece completes.

        Raises:
            MalformedStreamError: An event exceeds `max_event_bytes`; raised in its place among
                them.
        """
        if self._head == b"" and piece[:1] not in _MAYBE_BOM:
            self._head = None
        if (
            self._head is not None
            or self._after_cr
            or self._name
            or self._data is not None
            or _CR in piece
        ):
            return self._feed(piece)
        if not self._line and piece.startswith(b"data:") and piece[-1] == _LF == piece[-2]:
            # What comes at a pace: one event.
            data = piece[6 if piece[5] == _SPACE else 5 : -2]
            if _LF not in data and len(piece) <= self._max:
                return [Event(b"", data)]
        if piece.find(b"\n\n") < 0:
            return self._feed(piece)
        if self._line:
            piece, self._line = bytes(self._line) + piece, bytearray()
        # What nearly every piece is: whole events, each of one line of data, and perhaps the start
        # of one more.
        lines = piece.split(b"\n")
        rest = lines.pop()
        # (Nothing but ends of lines makes so many that copies of them are to be avoided.)
        if not lines[0] or len(lines) % 2 or any(lines[1::2]) or len(piece) > self._max:
            return self._feed(piece)
        events = []
        for line in lines[::2]:
            if line[:6] == b"data: ":
                events.append(Event(b"", line[6:]))
            elif line[:5] == b"data:":
                events.append(Event(b"", line[5:]))
            else:
                return self._feed(piece)
        if rest:
            self._line += rest
        return events

    def _feed(self, piece: bytes) -> Iterator[Event]:
        if self._head is not None:
            self._head += piece
            if len(self._head) < len(_BOM) and _BOM.startswith(self._head):
                return
            piece, self._head = self._head.removeprefix(_BOM), None
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if _CR in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        # Only LF ends a line from here on: str.splitlines would cut at U+2028 and others as well.
        lines = piece.split(b"\n")
        rest = lines.pop()
        if lines:
            if self._line:
                lines[0] = bytes(self._line) + lines[0]
                self._line = bytearray()
            yield from self._read(lines)
        if rest:
            self._line += rest
            self._check(len(self._line) - _FIELD, self._line)

    def flush(self) -> Iterator[Event]:
        """Yield the event that the end of the stream cut off, if there is one."""
        if self._head:
            self._line, self._head = bytearray(self._head), None
        if self._line or self._name or self._data is not None:
            yield from self._read([bytes(self._line), b""])
            self._line = bytearray()

    def _read(self, lines: list[bytes]) -> Iterator[Event]:
        for line in lines:
            if len(line) > self._max:
                self._check(len(line) - _FIELD, line)
            if line.startswith(b"data:"):
                self._append(line[6:] if line.startswith(b" ", 5) else line[5:])
            elif line:
                self._read_field(line)
            else:
                name, data = self._name, self._data
                self._name, self._data = b"", None
                if data is not None:
                    yield Event(name, bytes(data))

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
        data = self._data
        if data is None:
            self._data = value
        elif isinstance(data, bytearray):
            data += b"\n"
            data += value
        else:
            self._data = bytearray(b"\n".join((data, value)))
        self._check(len(self._data or b""), self._data or b"")

    def _check(self, size: int, data: bytes | bytearray) -> None:
        if size > self._max:
            start = bytes(data[:100])
            raise MalformedStreamError(
                f"an event in the stream exceeds {self._max} bytes (max_event_bytes); "
                f"it starts {start!r}"
            )
