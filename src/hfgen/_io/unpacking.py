"""Bodies that come compressed, though nobody asked for it: unpacked in pieces of a bounded size."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import ConnectError
from hfgen._core.headers import Headers
from hfgen._core.url import redact_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hfgen._core.fetch import FetchRequest


# A kilobyte can unpack to a megabyte. What it unpacks to is handed out before there is more of it.
_MAX_PIECE = 64 * 1024
# What is left of the input is copied for each piece, and for each member of a gzip.
_MAX_INPUT = 4 * 1024
_GZIP = zlib.MAX_WBITS | 16
_GZIP_MARK = b"\x1f"


def make_unpacker(headers: Mapping[str, str], request: FetchRequest) -> Unpacker | None:
    """Return what unpacks the body under these headers, None if it comes as it is."""
    said = Headers(headers).get("content-encoding", "").lower()
    names = [name.strip() for name in said.split(",")]
    packings = [name for name in names if name not in {"", "identity"}]
    return Unpacker(", ".join(packings), request) if packings else None


class Unpacker:
    """Push decoder of gzip and deflate; it knows no other packing, and not two in one."""

    def __init__(self, packing: str, request: FetchRequest) -> None:
        self._packing = packing
        self._where = redact_url(request.url)
        # Some other object each time: a gzip may have several members.
        self._member: Any = None
        self._has_begun = self._is_over = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what this piece of the body unpacks to.

        Raises:
            ConnectError: It cannot be unpacked.
        """
        for start in range(0, len(piece), _MAX_INPUT):
            try:
                yield from self._unpacked(piece[start : start + _MAX_INPUT])
            except zlib.error as error:
                failure = self._failure(f"it is no {self._packing} ({error})")
                failure.__cause__ = error
            else:
                continue
            raise failure

    def _unpacked(self, data: bytes) -> Iterator[bytes]:
        while data and not self._is_over:
            if self._member is None:
                # Some pad a gzip; a deflate is one and no more.
                may_follow = self._packing != "deflate" and data[:1] == _GZIP_MARK
                if self._has_begun and not may_follow:
                    self._is_over = True
                    return
                self._member, self._has_begun = self._begun(data), True
            out = self._member.decompress(data, _MAX_PIECE)
            while out:
                yield out
                # All input may be taken in, and yet there is more to come.
                out = self._member.decompress(self._member.unconsumed_tail, _MAX_PIECE)
            data = self._member.unconsumed_tail
            if self._member.eof:
                data = self._member.unused_data
                self._member = None

    def _begun(self, data: bytes) -> Any:
        if self._packing in {"gzip", "x-gzip"}:
            return zlib.decompressobj(_GZIP)
        if self._packing == "deflate":
            # Many servers leave out the header of zlib, which the standard asks for.
            is_bare = data[0] & 0x0F != zlib.DEFLATED
            return zlib.decompressobj(-zlib.MAX_WBITS if is_bare else zlib.MAX_WBITS)
        raise self._failure(f"it came as {self._packing}, and was asked for without")

    def _failure(self, why: str) -> ConnectError:
        return ConnectError(f"the answer of {self._where} cannot be read: {why}")
