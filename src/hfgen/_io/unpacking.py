"""`Unpacker`: unpacks bodies that come compressed unasked, in pieces of bounded size.

hfgen asks for no compression, but some servers compress anyway.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import ConnectError
from hfgen._core.headers import Headers
from hfgen._core.url import redact_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hfgen._core.fetch import FetchRequest


# A kilobyte can unpack to a megabyte. Each piece is handed out before the next is made.
_MAX_PIECE = 64 * 1024
# zlib copies the rest of the input for each piece, and for each member of a gzip.
_MAX_INPUT = 4 * 1024
# "identity" is the standard's name. Servers also send these, which name no packing.
_NO_PACKING = frozenset({"", "identity", "none", "binary", "utf-8", "utf8"})
_GZIP = zlib.MAX_WBITS | 16
_GZIP_MARK = b"\x1f"


def make_unpacker(headers: Mapping[str, str], request: FetchRequest) -> Unpacker | None:
    """Return an unpacker for a body with these headers, None if the body is not packed."""
    encoding = Headers(headers).get("content-encoding", "").lower()
    names = [name.strip() for name in encoding.split(",")]
    packings = [name for name in names if name not in _NO_PACKING]
    return Unpacker(", ".join(packings), request) if packings else None


class Unpacker:
    """A push decoder of gzip and deflate. Another packing, or two in one, is an error."""

    def __init__(self, packing: str, request: FetchRequest) -> None:
        self._packing = packing
        self._server = redact_url(request.url)
        # The decoder of zlib for the current member; a gzip may have several.
        self._member: Any = None
        self._has_begun = self._is_over = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the bytes that this piece unpacks to.

        Raises:
            ConnectError: The body cannot be unpacked.
        """
        for start in range(0, len(piece), _MAX_INPUT):
            try:
                yield from self._unpack(piece[start : start + _MAX_INPUT])
            except zlib.error as error:
                failure = self._unpacking_error(f"it is no {self._packing} ({error})")
                failure.__cause__ = error
            else:
                continue
            raise failure

    def finish(self) -> None:
        """Note the end of the body.

        Raises:
            ConnectError: The body ends inside the packed data.
        """
        if self._member is not None:
            raise self._unpacking_error(f"the {self._packing} in it stops in the middle")

    def unpack(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield what a whole body unpacks to.

        Raises:
            ConnectError: The body cannot be unpacked, or it ends inside the packed data.
        """
        for piece in pieces:
            yield from self.feed(piece)
        self.finish()

    def _unpack(self, data: bytes) -> Iterator[bytes]:
        while data and not self._is_over:
            if self._member is None:
                # Bytes that follow a gzip and are no member are padding. A deflate has one member.
                may_follow = self._packing != "deflate" and data[:1] == _GZIP_MARK
                if self._has_begun and not may_follow:
                    self._is_over = True
                    return
                self._member, self._has_begun = self._make_decoder(data), True
            out = self._member.decompress(data, _MAX_PIECE)
            while out:
                yield out
                # There may be more output although all input has been consumed.
                out = self._member.decompress(self._member.unconsumed_tail, _MAX_PIECE)
            data = self._member.unconsumed_tail
            if self._member.eof:
                data = self._member.unused_data
                self._member = None

    def _make_decoder(self, data: bytes) -> Any:
        if self._packing in {"gzip", "x-gzip"}:
            return zlib.decompressobj(_GZIP)
        if self._packing == "deflate":
            # Many servers leave out the zlib header that the standard requires.
            is_bare = data[0] & 0x0F != zlib.DEFLATED
            return zlib.decompressobj(-zlib.MAX_WBITS if is_bare else zlib.MAX_WBITS)
        raise self._unpacking_error(f"it came as {self._packing}, which was not asked for")

    def _unpacking_error(self, reason: str) -> ConnectError:
        return ConnectError(f"the answer of {self._server} cannot be read: {reason}")
