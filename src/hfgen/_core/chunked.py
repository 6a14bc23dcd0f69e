"""Chunked bodies of HTTP/1.1 to the bytes in them: a push decoder. No I/O.

https://www.rfc-editor.org/rfc/rfc9112#section-7.1
"""

from __future__ import annotations

import re

# More than the size of any chunk takes, with its extensions, or any field behind the last one.
_MAX_LINE = 64 * 1024
# Python's `int` takes signs, underscores and spaces as well.
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")


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
        out: list[bytes] = []
        at, size = 0, len(data)
        while not self.complete:
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

    def _read_line(self, line: bytes) -> None:
        """Take in the size of a chunk, or a field behind the last one."""
        if self._trails:
            self.complete = not line
            return
        said = line.partition(b";")[0].strip()
        if not _SIZE.fullmatch(said):
            raise ValueError(f"{said[:20]!r} is no size of a chunk")
        length = int(said, 16)
        self._left = length + 2 if length else 0
        self._trails = not length
