"""Chunked bodies of HTTP/1.1 to the bytes in them: a push decoder. No I/O.

https://www.rfc-editor.org/rfc/rfc9112#section-7.1
"""

from __future__ import annotations

from functools import lru_cache

# More than the size of any chunk takes, with its extensions, or any field behind the last one.
_MAX_LINE = 64 * 1024
_DIGITS = b"0123456789abcdefABCDEF"
# As numbers: looking for bytes in bytes, CPython first makes an error of them and drops it.
_SEMICOLON, _SPACE = b"; "
# Of a size; more would be no size of anything.
_MAX_DIGITS = 15


class Chunks:
    """`feed` it what arrives until it is `complete`.

    Attributes:
        complete: Whether the body is at its end.
        rest: What is not yet read of what came; once it is complete, what came behind it.
    """

    __slots__ = ("_left", "_trails", "complete", "rest")

    def __init__(self) -> None:
        self.complete = False
        self.rest = b""
        # How much is missing of the chunk at hand, with the end of line behind it.
        self._left = 0
        self._trails = False

    def feed(self, data: bytes) -> bytes:
        """Return what this adds to the body.

        Raises:
            ValueError: It is not chunked.
        """
        if self.rest:
            data = self.rest + data
        elif not (self._left or self._trails):
            # What comes at a pace: one chunk.
            line, _, chunk = data.partition(b"\r\n")
            if (
                len(line) <= _MAX_DIGITS
                and (length := _short_size(line))
                and len(chunk) == length + 2
            ):
                return chunk[:-2]
        out: list[bytes] = []
        at, size = self._take_whole(data, out), len(data)
        while at < size and not self.complete:
            if self._left:
                end = at + self._left
                # The last two are the end of line, whatever stands there.
                out.append(data[at : max(end - 2, at)])
                if end > size:
                    self._left, at = end - size, size
                    break
                at, self._left = end, 0
            line_end = data.find(b"\n", at)
            if line_end < 0 and size - at <= _MAX_LINE:
                break
            if line_end < 0 or line_end - at > _MAX_LINE:
                raise ValueError("a line of a chunked body is too long")
            self._read_line(data[at:line_end].removesuffix(b"\r"))
            at = line_end + 1
        self.rest = data[at:]
        return b"".join(out)

    def _take_whole(self, data: bytes, out: list[bytes]) -> int:
        """Take in what nearly all of a burst is: whole chunks that have no CRLF in them.

        Before them the rest of one. Returns how far that goes.
        """
        at = self._left
        if self._trails or at > len(data):
            return 0
        if at:
            out.append(data[: max(at - 2, 0)])
            self._left = 0
        parts = data[at:].split(b"\r\n")
        for line, chunk in zip(parts[::2], parts[1:-1:2], strict=False):
            if not chunk or _size(line) != len(chunk):
                break
            out.append(chunk)
            at += len(line) + len(chunk) + 4
        return at

    def _read_line(self, line: bytes) -> None:
        """Take in the size of a chunk, or a field behind the last one."""
        if self._trails:
            self.complete = not line
            return
        length = _size(line)
        if length is None:
            raise ValueError(f"{line[:20]!r} is no size of a chunk")
        self._left = length + 2 if length else 0
        self._trails = not length


def _size(line: bytes) -> int | None:
    """Return the size that a line tells, None if it tells none."""
    if _SEMICOLON in line or _SPACE in line:
        line = line.partition(b";")[0].strip()
    # `int` takes signs, underscores and a prefix as well.
    return int(line, 16) if 0 < len(line) <= _MAX_DIGITS and not line.strip(_DIGITS) else None


# Most chunks of a stream are of a few sizes.
_short_size = lru_cache(maxsize=1024)(_size)
