"""`EventDecoder`: from bytes to server-sent events, exactly as the WHATWG specifies. No I/O.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

With one exception: a last event without the blank line that should end it counts, because some
servers leave that line out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hfgen._core.errors import MalformedStreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BOM = b"\xef\xbb\xbf"
_MAYBE_BOM = (b"", _BOM[:1])

# The last event of a stream has the whole text. A million tokens take about a quarter of this.
MAX_EVENT_BYTES = 16 * 1024 * 1024
_FIELD = len(b"data: ")
# Integers: `b"\n" in data` is slower than `10 in data`, since CPython raises an error inside first.
_CR, _LF, _SPACE = b"\r\n "


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event.

    Attributes:
        name: The type of the event; empty if the stream names none, which stands for "message".
        data: The lines of data, joined by LF.
    """

    name: bytes
    data: bytes


class EventDecoder:
    """Push decoder: `feed` takes the pieces of a body as they arrive; `flush` is called at its end.

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
        # The event whose blank line has not come yet. The lines of its data are joined as they
        # come: a list of many short lines would take several times the memory.
        self._name = b""
        self._data: bytes | bytearray | None = None

    def feed(self, piece: bytes) -> Iterable[Event]:
        """Return the events that this piece completes.

        Raises:
            MalformedStreamError: An event exceeds `max_event_bytes`. Raised when the iteration
                comes to that event.
        """
        if self._head == b"" and piece[:1] not in _MAYBE_BOM:
            self._head = None
        is_at_event_start = (
            self._head is None
            and not (self._line or self._after_cr or self._name)
            and self._data is None
        )
        if is_at_event_start and piece.startswith(b"data:") and piece[-1] == _LF == piece[-2]:
            # The likeliest case if tokens come one by one: a single event.
            data = piece[6 if piece[5] == _SPACE else 5 : -2]
            if _LF not in data and _CR not in data and len(piece) <= self._max:
                return [Event(b"", data)]
        return self._decode(piece)

    def _decode(self, piece: bytes) -> Iterator[Event]:
        """Yield the events that any piece completes. `feed` is faster for a single event."""
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
        # From here on LF is the only end of a line.
        lines = piece.split(b"\n")
        rest = lines.pop()
        if lines:
            if self._line:
                lines[0] = bytes(self._line) + lines[0]
                self._line = bytearray()
            yield from self._read_lines(lines)
        if rest:
            self._line += rest
            self._check_size(len(self._line) - _FIELD, self._line)

    def flush(self) -> Iterator[Event]:
        """Yield the last event, if the stream ended before its blank line."""
        if self._head:
            self._line, self._head = bytearray(self._head), None
        if self._line or self._name or self._data is not None:
            yield from self._read_lines([bytes(self._line), b""])
            self._line = bytearray()

    def _read_lines(self, lines: list[bytes]) -> Iterator[Event]:
        for line in lines:
            if len(line) > self._max:
                self._check_size(len(line) - _FIELD, line)
            if line.startswith(b"data:"):
                self._append_data(line[6:] if line.startswith(b" ", 5) else line[5:])
            elif line:
                self._read_field(line)
            else:
                name, data = self._name, self._data
                self._name, self._data = b"", None
                if data is not None:
                    yield Event(name, bytes(data))

    def _read_field(self, line: bytes) -> None:
        """Read a line that does not begin with `data:`. For a comment, the name is empty."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._append_data(value)
        elif name == b"event":
            self._name = value
        elif name == b"error":
            # Not in the standard. Older versions of llama.cpp report errors in this field.
            self._name = b"error"
            self._append_data(value)

    def _append_data(self, value: bytes) -> None:
        data = self._data
        if data is None:
            self._data = value
        elif isinstance(data, bytearray):
            data += b"\n"
            data += value
        else:
            self._data = bytearray(b"\n".join((data, value)))
        self._check_size(len(self._data or b""), self._data or b"")

    def _check_size(self, size: int, data: bytes | bytearray) -> None:
        if size > self._max:
            start = bytes(data[:100])
            raise MalformedStreamError(
                f"an event in the stream exceeds {self._max} bytes (max_event_bytes); "
                f"it starts {start!r}"
            )
