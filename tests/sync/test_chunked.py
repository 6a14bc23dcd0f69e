"""Chunked bodies, fed in every way."""

import pytest

from helpers.byte_cuts import same_every_way
from hfgen._sync.chunked import Chunks


def decode(data):
    def outcome(pieces):
        chunks, body, behind = Chunks(), b"", b""
        try:
            for piece in pieces:
                # Who reads stops at the end.
                if chunks.complete:
                    behind += piece
                else:
                    body += chunks.feed(piece)
        except ValueError:
            return "not chunked"
        return body, chunks.complete, chunks.rest + behind if chunks.complete else None

    return same_every_way(data, outcome)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
        (b"0\r\n\r\n", b""),
        (b'a;name=value;x="y"\r\n0123456789\r\n000\r\n\r\n', b"0123456789"),
        (b"5 \r\nhello\r\n0 ; x\r\n\r\n", b"hello"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"1\r\na\r\n4\r\nb\r\nc\r\n1\r\nd\r\n0\r\n\r\n", b"ab\r\ncd"),
        (b"3\r\n1\r\n\r\n1\r\na\r\n0\r\n\r\n", b"1\r\na"),
        (b"1\r\na\r\n1;x\r\nb\r\n1\nc\r\n1\r\nd\r\n0\r\n\r\n", b"abcd"),
        (b"3\r\nabc\r\n0\r\nx-trailer: 1\r\ny: 2\r\n\r\n", b"abc"),
        (b"3\nabc\r\n0\n\n", b"abc"),
        (b"0A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    ],
)  # fmt: skip
def test_bodies(data, body):
    assert decode(data) == (body, True, b"")


def test_what_comes_behind_it():
    assert decode(b"1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n") == (b"a", True, b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "data",
    [b"", b"5", b"5\r", b"5\r\nhe", b"5\r\nhello", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n"],
)
def test_what_is_cut_off_is_not_complete(data):
    body, complete, _ = decode(data)
    assert b"hello".startswith(body)
    assert not complete


@pytest.mark.parametrize(
    "size", [b"xyz", b"-5", b"+5", b"0x5", b"1_0", b"", b" ", b"f" * 16, b";x", "\uff15".encode()]
)
def test_what_is_no_size(size):
    assert decode(size + b"\r\nhello") == "not chunked"


@pytest.mark.parametrize("start", [b"5;x=", b"0\r\nx: "])
def test_a_line_without_end(start):
    chunks = Chunks()
    chunks.feed(start)
    for _ in range(65):
        chunks.feed(b"a" * 1000)
    with pytest.raises(ValueError, match="too long"):
        chunks.feed(b"a" * 1000)


def test_a_long_chunk_is_not_kept():
    chunks = Chunks()
    assert chunks.feed(b"fffffff\r\n") == b""
    assert chunks.feed(b"a" * 1000) == b"a" * 1000
    assert chunks.rest == b""
