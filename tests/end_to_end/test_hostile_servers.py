"""Servers that send without end, or compressed bombs: an error comes, and memory stays bounded."""

import gzip
import tracemalloc
import zlib
from contextlib import contextmanager

import pytest

import hfgen
from helpers.scripted_answers import answer, events, token
from hfgen import Timeout
from hfgen._core import verbs
from hfgen.testing import Hang, Pause

KIB, MIB = 1024, 1024 * 1024
# Bytes that an endless server sends before it hangs: far more than the limits that are set here.
ENDLESS = 8 * MIB
MAX_EVENT = 64 * KIB
# Bytes that buffers of sockets and libraries may hold besides. (A small object has 40 or more.)
BUFFERS = 6 * MIB
# Far longer than a test takes, so that another limit ends the call.
PATIENT = Timeout(first_token=60, between_tokens=60)
HASTY = Timeout(connect=0.5, first_token=0.3, between_tokens=0.3)

OK = b"HTTP/1.1 200 OK\r\n"
STREAM = OK + b"content-type: text/event-stream\r\n"
JSON = OK + b"content-type: application/json\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
SSE = {"content_type": "text/event-stream"}
FIRST = b'data: {"token": {"text": "a"}}\n\n'
LAST = b'data: {"token": {"text": "b"}, "generated_text": "ab"}\n\n'


@pytest.fixture(autouse=True)
def import_everything(side):
    """Import all modules of a first request, because their memory is not measured."""
    hfgen.Client().close()
    side.client(max_retries=0)


@contextmanager
def limit_memory(limit):
    """Check that the block holds less than `limit` bytes at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak / MIB:.1f} MiB"


def repeat(line, size=ENDLESS):
    piece = line * max(1, 64 * KIB // len(line))
    return [piece] * (size // len(piece))


def send_endlessly(start, line):
    """Return an answer with the start, then the line many times, and then a hang."""
    return answer(start, *repeat(line), Hang(), framing="raw")


def read_failure(side, verb, server, **options):
    """Return the error in which the verb ends, whether by the call or in its stream."""
    options.setdefault("timeout", PATIENT)
    with pytest.raises(hfgen.HfgenError) as caught:
        side.outcome(verb, server, **options)
    assert len(str(caught.value)) < 1000
    side.wait_for(server.request().hung_up)
    assert len(server.requests) == 1
    return caught.value


HEADS = {
    "status line": (b"HTTP/1.1 200 ", b"a"),
    "header line": (OK + b"x: ", b"a"),
    "header name": (OK, b"a"),
    "header lines": (OK, b"x-some-header: some value\r\n"),
    "size of a chunk": (STREAM + CHUNKED, b"1"),
    "trailer line": (JSON + CHUNKED + b"2\r\n{}\r\n0\r\nx: ", b"a"),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_line_without_end(side, serve, case):
    with limit_memory(BUFFERS):
        error = read_failure(side, "run", serve(send_endlessly(*HEADS[case])))
    assert isinstance(error, hfgen.ConnectError)
    assert any(words in str(error) for words in ("more than", "no HTTP", "too many", "Too many"))


@pytest.mark.parametrize("nonsense", [b"xyz\r\n", b"-5\r\nx", b"f" * 40 + b"\r\n"])
@pytest.mark.parametrize("first_event", [b"", FIRST], ids=["first", "later"])
def test_malformed_chunks_are_noticed_at_once(side, serve, first_event, nonsense):
    chunk = b"%x\r\n%b\r\n" % (len(first_event), first_event) if first_event else b""
    start = STREAM + CHUNKED + chunk
    server = serve(answer(start, Pause(0.05), nonsense, Hang(), framing="raw"))
    with limit_memory(BUFFERS):
        error = read_failure(side, "stream", server)
    assert isinstance(error, hfgen.IncompleteGenerationError)
    assert error.text == ("a" if first_event else "")


UNNOTICED = {
    "100s": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103s": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n"),
    "extension of a chunk": (STREAM + CHUNKED + b"5;x=", b"a"),
    "zeros of a size": (STREAM + CHUNKED, b"0"),
    "trailers": (JSON + CHUNKED + b"2\r\n{}\r\n0\r\n", b"x-trailer: 1\r\n"),
}


@pytest.mark.parametrize("case", UNNOTICED)
def test_bytes_that_libraries_skip_end_in_a_timeout(side, serve, case):
    with limit_memory(2 * ENDLESS):
        error = read_failure(side, "run", serve(send_endlessly(*UNNOTICED[case])), timeout=HASTY)
    assert isinstance(error, hfgen.TimeoutError | hfgen.ConnectError)


def test_interim_answers_are_skipped(side, serve):
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n" + JSON
    body = b'{"generated_text": "a"}'
    length = b"content-length: %d\r\n\r\n" % len(body)
    server = serve(answer(head + length + body, framing="raw"))
    assert side.run(server)[0].generated_text == "a"


@pytest.mark.parametrize("size", [b"7fffffff", b"fffffffffff"])
def test_a_chunk_is_read_as_it_comes_however_long(side, serve, size):
    server = serve(answer(STREAM + CHUNKED + size + b"\r\n" + FIRST, Hang(), framing="raw"))
    items = []
    with limit_memory(BUFFERS), pytest.raises(hfgen.TimeoutError) as caught:
        side.collect(side.stream_tokens(server, timeout=HASTY), items)
    assert items == ["a"]
    assert caught.value.text == "a"


@pytest.mark.parametrize("verb", ["run", "stream"])
def test_a_content_length_without_a_body(side, serve, verb):
    head = JSON + b"content-length: 99999999999999\r\n\r\n"
    with limit_memory(BUFFERS):
        error = read_failure(side, verb, serve(answer(head, Hang(), framing="raw")), timeout=HASTY)
    assert isinstance(error, hfgen.TimeoutError)


EVENTS = {
    "line": (b"data: ", b"a"),
    "lines": (b"", b"data: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"),
    "short lines": (b"", b"data:ab\n"),
    "empty lines": (b"", b"data\n"),
    "field": (b"", b"a"),
    "name": (b"event: ", b"a"),
    "comment": (b":", b"a"),
}


@pytest.mark.parametrize("first_event", [b"", FIRST], ids=["first", "later"])
@pytest.mark.parametrize("case", EVENTS)
def test_an_event_without_end(side, serve, case, first_event):
    start, line = EVENTS[case]
    server = serve(answer(first_event + start, *repeat(line, MIB), Hang(), **SSE))
    with limit_memory(BUFFERS + 8 * MAX_EVENT):
        error = read_failure(side, "stream", server, max_event_bytes=MAX_EVENT)
    assert isinstance(error, hfgen.MalformedStreamError)
    # Short lines have little data: their number reaches the limit before their length does.
    assert "(max_event_bytes)" in str(error)
    assert error.text == ("a" if first_event else "")


@pytest.mark.parametrize("verb", ["stream", "stream_bytes"])
@pytest.mark.parametrize("comment", [b":\n", b"\n", b"event: ping\ndata: 1\n\n"])
def test_comments_without_end_and_without_a_token(side, serve, comment, verb):
    server = serve(answer(*repeat(comment, 32 * MIB), Hang(), **SSE))
    with limit_memory(BUFFERS + 8 * MAX_EVENT):
        if verb == "stream":
            error = read_failure(side, verb, server, max_event_bytes=MAX_EVENT)
            assert isinstance(error, hfgen.MalformedStreamError)
            assert "no token among them (max_event_bytes)" in str(error)
        else:
            # The caller reads the comments.
            stream = side.stream_bytes(server, max_event_bytes=MAX_EVENT)
            assert side.next(stream).startswith(comment[:1])
            side.close(stream)


@pytest.mark.parametrize("comment", [b":\n", b"\n", b"event: ping\ndata: 1\n\n"])
def test_comments_without_end(side, serve, comment):
    server = serve(answer(FIRST, *repeat(comment, 32 * MIB), Hang(), **SSE))
    with limit_memory(BUFFERS):
        error = read_failure(side, "stream", server, timeout=HASTY)
    assert isinstance(error, hfgen.TimeoutError)
    assert error.text == "a"


@pytest.mark.parametrize(
    "rest", [repeat(b":\n", 4 * MIB), [b":\n", Pause(0.05)] * 400], ids=["fast", "slow"]
)
def test_what_follows_the_last_event_is_not_waited_for(side, serve, rest):
    server = serve(answer(FIRST, LAST, *rest, Hang(), **SSE))
    with limit_memory(BUFFERS):
        assert side.collect(side.stream_tokens(server, timeout=PATIENT)) == ["a", "b"]
    side.wait_for(server.request().hung_up)
    assert server.request().hung_up_at - server.request().received_at < 15


@pytest.fixture
def max_answer(monkeypatch):
    """A lower limit than the real one, so that it is reached sooner."""
    monkeypatch.setattr(verbs, "MAX_ANSWER_BYTES", MIB)
    return MIB


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain"])
def test_an_answer_without_end(side, serve, max_answer, kind):
    server = serve(answer(*repeat(b" "), Hang(), content_type=kind))
    with limit_memory(BUFFERS + 4 * max_answer):
        error = read_failure(side, "run", server)
    assert isinstance(error, hfgen.MalformedAnswerError)
    assert f"exceeds {max_answer} bytes" in str(error)


@pytest.mark.parametrize(("verb", "status"), [("run", 503), ("stream", 400)])
def test_a_refusal_without_end(side, serve, verb, status):
    server = serve(answer(*repeat(b"a"), Hang(), status=status))
    with limit_memory(BUFFERS + 4 * verbs.MAX_ERROR_BYTES):
        error = read_failure(side, verb, server)
    assert isinstance(error, hfgen.StatusError)
    assert error.status == status
    assert len(error.body) == verbs.MAX_ERROR_BYTES


def test_redirects_without_end_and_their_bodies(side, serve):
    server = serve(answer(*repeat(b"a"), Hang(), status=307, location="/again"))
    with (
        limit_memory(BUFFERS + 4 * verbs.MAX_ERROR_BYTES),
        pytest.raises(hfgen.StatusError) as caught,
    ):
        side.run(server, timeout=PATIENT)
    assert "redirects more than 5 times" in str(caught.value)
    assert len(server.requests) == 6
    for request in server.requests:
        side.wait_for(request.hung_up)


# 16 MiB each, about 16 KiB compressed.
ZEROS = bytes(16 * MIB)
BARE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
BOMBS = {
    "gzip": ("gzip", gzip.compress(ZEROS)),
    "members": ("gzip", gzip.compress(b"") * 50_000),
    "deflate": ("deflate", zlib.compress(ZEROS)),
    "bare deflate": ("deflate", BARE.compress(ZEROS) + BARE.flush()),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("verb", ["run", "stream"])
def test_a_bomb(side, serve, max_answer, verb, bomb):
    encoding, body = BOMBS[bomb]
    kind = "application/json" if verb == "run" else "text/event-stream"
    server = serve(answer(body, Hang(), content_encoding=encoding, content_type=kind))
    with limit_memory(BUFFERS + 4 * max_answer):
        timeout = HASTY if bomb == "members" else PATIENT
        error = read_failure(side, verb, server, timeout=timeout, max_event_bytes=MAX_EVENT)
    if bomb == "members":
        # It decompresses to nothing.
        assert isinstance(error, hfgen.TimeoutError)
    else:
        assert isinstance(error, hfgen.MalformedAnswerError)
        assert "exceeds" in str(error)


def test_a_bomb_in_an_error_body(side, serve):
    server = serve(answer(BOMBS["gzip"][1], Hang(), status=500, content_encoding="gzip"))
    with limit_memory(BUFFERS + 4 * verbs.MAX_ERROR_BYTES):
        error = read_failure(side, "run", server)
    assert isinstance(error, hfgen.ServerError)
    assert len(error.body) == verbs.MAX_ERROR_BYTES


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_an_unrequested_content_encoding(side, serve, encoding):
    body = answer(gzip.compress(b"{}"), framing="length", content_encoding=encoding)
    with pytest.raises(hfgen.ConnectError, match=f"it came as {encoding}, which was not") as caught:
        side.run(serve(body))
    assert "127.0.0.1" in str(caught.value)


def test_a_body_that_is_not_compressed_as_the_header_says(side, serve):
    server = serve(answer(b"{}" * 10, framing="length", content_encoding="gzip"))
    with pytest.raises(hfgen.ConnectError, match=r"it is no gzip \(.*header"):
        side.run(server)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "identity", "identity, gzip"])
def test_a_compressed_body_is_decompressed(side, serve, encoding):
    text = "".join(chr(0x4E00 + n * n % 5000) for n in range(50_000))
    body = b"".join(step for step in events(token("a"), token(text, last="a" + text)).body)
    compressed = {"deflate": zlib.compress, "identity": bytes}.get(encoding, gzip.compress)(body)
    if "gzip" in encoding:
        compressed = gzip.compress(body[:500]) + gzip.compress(body[500:]) + bytes(8)
    parts = [compressed[n : n + 1] for n in range(50)] + [compressed[50:]]
    server = serve(answer(*parts, content_encoding=encoding, **SSE))
    assert side.collect(side.stream_tokens(server)) == ["a", text]
