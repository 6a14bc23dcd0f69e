"""`Chunks`: a push decoder for chunked bodies of HTTP/1.1. No I/O.

https://www.rfc-editor.org/rfc/rfc9112#section-7.1
"""

from __future__ import annotations

from functools import lru_cache

# The longest line that is read: a size with its extensions, or a trailer field.
_MAX_LINE = 64 * 1024
_DIGITS = b"0123456789abcdefABCDEF"
# As numbers: `bytes in bytes` makes CPython raise and drop an error first, which is slow.
_SEMICOLON, _SPACE = b"; "
# Digits of a size.
_MAX_DIGITS = 15


class Chunks:
    """`feed` it what arrives until it is `complete`.

    Attributes:
        complete: Whether the end of the body has been read.
        rest: Input that is not decoded yet; once `complete`, the bytes after the body.
    """

    __slots__ = ("_in_trailer", "_missing", "complete", "rest")

    def __init__(self) -> None:
        self.complete = False
        self.rest = b""
        # Bytes still missing of the current chunk, with the line end after it.
        self._missing = 0
        self._in_trailer = False

    def feed(self, data: bytes) -> bytes:
        """Return the bytes that this input adds to the body.

        Raises:
            ValueError: The input is not chunked.
        """
        if self.rest:
            data = self.rest + data
        elif not (self._missing or self._in_trailer):
            # The common case of a stream: the input is exactly one chunk.
            line, _, chunk = data.partition(b"\r\n")
            if (
                len(line) <= _MAX_DIGITS
                and (length := _short_size(line))
                and len(chunk) == length + 2
            ):
                return chunk[:-2]
        out: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.complete:
            if self._missing:
                end = at + self._missing
                # The last two bytes are the line end, and are not checked.
                out.append(data[at : max(end - 2, at)])
                if end > size:
                    self._missing, at = end - size, size
                    break
                at, self._missing = end, 0
            line_end = data.find(b"\n", at)
            if line_end < 0 and size - at <= _MAX_LINE:
                break
            if line_end < 0 or line_end - at > _MAX_LINE:
                raise ValueError("a line of a chunked body is too long")
            self._read_line(data[at:line_end].removesuffix(b"\r"))
            at = line_end + 1
        self.rest = data[at:]
        return b"".join(out)

    def _read_line(self, line: bytes) -> None:
        """Read the size of a chunk, or a field of the trailer."""
        if self._in_trailer:
            self.complete = not line
            return
        length = _size(line)
        if length is None:
            raise ValueError(f"{line[:20]!r} is no size of a chunk")
        self._missing = length + 2 if length else 0
        self._in_trailer = not length


def _size(line: bytes) -> int | None:
    """Return the size of a chunk from its line, None if the line has none."""
    if _SEMICOLON in line or _SPACE in line:
        line = line.partition(b";")[0].strip()
    # `int` would accept signs, underscores and a prefix, too.
    return int(line, 16) if 0 < len(line) <= _MAX_DIGITS and not line.strip(_DIGITS) else None


# A stream has chunks of few different sizes.
_short_size = lru_cache(maxsize=1024)(_size)
