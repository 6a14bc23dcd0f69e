"""What a packed body unpacks to, in whatever pieces it comes, and how much of it at a time."""

import gzip
import random
import zlib

import pytest

import hfgen
from hfgen._core.fetch import FetchRequest
from hfgen._io.unpacking import make_unpacker

REQUEST = FetchRequest(method="POST", url="http://host/generate?key=secret", headers={})
# Half of it cannot be packed, the other half to next to nothing.
BODY = random.Random(1).randbytes(100_000) + bytes(100_000)


def unpack(packing, *pieces):
    unpacking = make_unpacker({"Content-Encoding": packing}, REQUEST)
    return [part for piece in pieces for part in unpacking.feed(piece)]


def bare(body):
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(body) + packing.flush()


PACKED = {
    "gzip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY),
    "GZip": gzip.compress(BODY),
    "identity, gzip": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    " deflate ": bare(BODY),
}


@pytest.mark.parametrize("size", [1, 7, 5000, 1_000_000])
@pytest.mark.parametrize("packing", PACKED)
def test_pieces_of_any_size(packing, size):
    packed = PACKED[packing]
    pieces = [packed[n : n + size] for n in range(0, len(packed), size)]
    assert b"".join(unpack(packing, *pieces)) == BODY


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
@pytest.mark.parametrize("after", [b"", bytes(10), b"garbage"])
def test_members_of_a_gzip_and_what_is_none(size, after):
    packed = gzip.compress(BODY[:10]) + gzip.compress(b"") + gzip.compress(BODY[10:]) + after
    pieces = [packed[n : n + size] for n in range(0, len(packed), size)]
    assert b"".join(unpack("gzip", *pieces)) == BODY


def test_what_follows_a_deflate_is_nothing():
    assert b"".join(unpack("deflate", zlib.compress(b"a") + zlib.compress(b"b"))) == b"a"


def test_what_is_flushed_comes_at_once():
    packing = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    unpacking = make_unpacker({"content-encoding": "gzip"}, REQUEST)
    for text in (b"Once", b" upon"):
        piece = packing.compress(text) + packing.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(unpacking.feed(piece)) == text


@pytest.mark.parametrize("packing", ["gzip", "deflate", " deflate "])
def test_much_comes_in_small_parts(packing):
    body = bytes(20_000_000)
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}.get(packing, bare)
    parts = unpack(packing, pack(body))
    assert sum(map(len, parts)) == len(body)
    assert max(map(len, parts)) <= 64 * 1024


@pytest.mark.parametrize("packing", ["", "identity", "Identity, identity"])
def test_what_is_not_packed(packing):
    assert make_unpacker({"content-encoding": packing}, REQUEST) is None
    assert make_unpacker({}, REQUEST) is None


@pytest.mark.parametrize("packing", ["br", "zstd", "gzip, gzip", "gzip, br"])
def test_packings_that_are_not_known(packing):
    with pytest.raises(
        hfgen.ConnectError, match=f"it came as {packing}, which was not asked"
    ) as caught:
        unpack(packing, b"something")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_what_is_no_packing(packing):
    with pytest.raises(hfgen.ConnectError, match=f"it is no {packing}") as caught:
        unpack(packing, b"x" * 20)
    assert isinstance(caught.value.__cause__, zlib.error)
