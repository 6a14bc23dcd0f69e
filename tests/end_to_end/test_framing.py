"""Heads of answers that only some libraries read: both sides read, and refuse, the same ones."""

import pytest

import hfgen
from helpers.byte_server import serving

TEXT = b'[{"generated_text": "ok"}]'
LENGTH = b"content-length: %d\r\n" % len(TEXT)
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(TEXT), TEXT)


def answer(*headers, body=TEXT):
    return b"".join(
        [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n", *headers, b"\r\n", body]
    )


def run(side, content):
    def send(connection, _):
        connection.sendall(content)
        return False

    with serving(send) as (url, _):
        client = side.client(api_url=url, max_retries=0, timeout=10)
        return side.call(client.run, "hi")[0].generated_text


@pytest.mark.parametrize(
    "content",
    [
        answer(b"set-cookie: %s\r\n" % (b"s" * 9_000), LENGTH),
        answer(b"set-cookie: %s\r\n" % (b"s" * 60_000), LENGTH),
        answer(*(b"x-%d: 1\r\n" % number for number in range(90)), LENGTH),
        answer(b"content-encoding: none\r\n", LENGTH),
        answer(b"content-encoding: utf-8\r\n", LENGTH),
        answer(b"transfer-encoding: CHUNKED\r\n", body=CHUNKED),
        answer(b"x-a: a\r\n b\r\n", LENGTH),
        answer(b"x-a: \xe9\r\n", LENGTH),
        answer(LENGTH).replace(b" OK", b"", 1),
        answer(LENGTH).replace(b"\r\n", b"\n"),
        b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + answer(LENGTH),
        answer(),
    ],
)
def test_what_both_sides_read(side, content):
    assert run(side, content) == "ok"


@pytest.mark.parametrize(
    "content",
    [
        answer(b"set-cookie: secret%s\r\n" % (b"s" * 70_000), LENGTH),
        answer(b"set-cookie: secret\r\n", *(b"x-%d: 1\r\n" % n for n in range(110)), LENGTH),
        answer(b"transfer-encoding: chunked\r\n", LENGTH, body=CHUNKED),
        answer(LENGTH, b"transfer-encoding: chunked\r\n", body=CHUNKED),
        answer(LENGTH, LENGTH),
        answer(LENGTH, b"content-length: 3\r\n"),
        answer(LENGTH.replace(b": ", b": +")),
        answer(b"content-length: secret\r\n"),
    ],
)
def test_what_both_sides_refuse(side, content):
    with pytest.raises(hfgen.ConnectError, match=r"what came is no HTTP|header") as caught:
        run(side, content)
    assert "secret" not in str(caught.value)
