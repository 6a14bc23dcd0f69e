"""What servers send, in every variation, read over real sockets by both sides."""

import json
import random

import pytest

import hfgen
from helpers.scripted_answers import answer, as_json, events, token
from hfgen.testing import Cut, Hang, Pause, ScriptedAnswer, event

STORY = (token("Once"), token(" upon"), token("</s>", special=True, last="Once upon"))
SSE = {"content-type": "text/event-stream"}
# What every request of TGI's dialect says, unless it asks for tokens to be drawn.
GREEDY = {"parameters": {"do_sample": False}}


def read_until_error(side, stream):
    """The error that a stream ends with, and the items before it."""
    items = []
    with pytest.raises(hfgen.HfgenError) as caught:
        side.collect(stream, items)
    return caught.value, items


def in_pieces(body, **options):
    return answer(*(body[i : i + 1] for i in range(len(body))), **options)


class TestVerbs:
    def test_run(self, side, serve):
        server = serve(as_json([{"generated_text": "Once upon"}]))
        assert side.run(server)[0].generated_text == "Once upon"
        request = server.request()
        assert (request.method, request.path) == ("POST", "/generate")
        assert request.json == {"inputs": "Once", **GREEDY, "stream": False}
        assert request.headers["content-type"] == "application/json"

    def test_stream(self, side, serve):
        server = serve(events(*STORY))
        stream = side.stream(server)
        assert stream.status == 200
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert [chunk.to_dict() for chunk in side.collect(stream)] == list(STORY)
        assert server.request().json == {"inputs": "Once", **GREEDY, "stream": True}

    def test_stream_tokens(self, side, serve):
        assert side.collect(side.stream_tokens(serve(events(*STORY)))) == ["Once", " upon"]

    def test_stream_bytes(self, side, serve):
        body = b"".join(side.collect(side.stream_bytes(serve(events(*STORY)))))
        assert body == b"".join(map(event, STORY))

    def test_several_answers(self, side, serve):
        server = serve(as_json([{"generated_text": "a"}, {"generated_text": "b"}]))
        assert [text.generated_text for text in side.run(server)] == ["a", "b"]


class TestBytes:
    BODY = random.Random(1).randbytes(3000) + "\u2028\u2029\x85\r\n\r\n: data:\xff".encode()

    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    def test_bytes_are_what_the_server_sent(self, side, serve, framing):
        chance = random.Random(2)
        pieces, rest = [], self.BODY
        while rest:
            size = chance.randint(1, 300)
            pieces.append(rest[:size])
            rest = rest[size:]
        stream = side.stream_bytes(serve(answer(*pieces, framing=framing)))
        received = side.collect(stream)
        assert b"".join(received) == self.BODY
        assert all(type(piece) is bytes and piece for piece in received)

    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    def test_pieces_of_one_byte(self, side, serve, framing):
        stream = side.stream_bytes(serve(in_pieces(self.BODY[:400], framing=framing)))
        assert b"".join(side.collect(stream)) == self.BODY[:400]

    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    def test_bytes_of_an_empty_body(self, side, serve, framing):
        assert side.collect(side.stream_bytes(serve(answer(framing=framing)))) == []

    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    def test_bytes_of_a_large_body(self, side, serve, framing):
        body = random.Random(3).randbytes(3_000_000)
        stream = side.stream_bytes(serve(answer(body, framing=framing)))
        assert b"".join(side.collect(stream)) == body

    def test_bytes_come_as_they_are_sent(self, side, serve):
        stream = side.stream_bytes(serve(answer(b"a", Hang())))
        assert side.next(stream) == b"a"
        side.close(stream)

    def test_an_error_event_is_passed_on_as_bytes(self, side, serve):
        body = event({"error": "full", "error_type": "overloaded"})
        assert side.collect(side.stream_bytes(serve(answer(body, **SSE)))) == [body]

    @pytest.mark.parametrize("framing", ["chunked", "length"])
    def test_a_cut_body_is_an_error(self, side, serve, framing):
        cut = [b"a", Cut(), b"never sent"]
        error, items = read_until_error(
            side, side.stream_bytes(serve(answer(*cut, framing=framing)))
        )
        assert isinstance(error, hfgen.ConnectError)
        assert items == [b"a"]


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c"])
def test_unicode_line_separators_end_no_line(side, serve, char):
    body = event(token("a\u2028b\u2029c\x85d", last="x"))
    assert side.collect(side.stream_tokens(serve(answer(body, **SSE)))) == ["a\u2028b\u2029c\x85d"]
    raw = f'data: {{"token": {{"text": "a{char}b"}}, "generated_text": ""}}\n\n'.encode()
    if char > " ":  # JSON allows no control characters in strings
        assert side.collect(side.stream_tokens(serve(answer(raw, **SSE)))) == [f"a{char}b"]


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_events_and_characters_in_pieces_of_a_byte(side, serve, framing):
    body = event(token("é日👩\u200d🚀")) + event(token("!", last="é日👩\u200d🚀!"))
    server = serve(in_pieces(body, framing=framing, **SSE))
    assert "".join(side.collect(side.stream_tokens(server))) == "é日👩\u200d🚀!"


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("prefix", [b"data:", b"data: "])
@pytest.mark.parametrize("byte_order_mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
def test_framing(side, serve, end, prefix, byte_order_mark):
    a, b = json.dumps(token("a")).encode(), json.dumps(token("b"), indent=1).encode()
    lines = [b"event: message", b"id: 1", b"retry: 10", prefix + a, b""]
    lines += [*(prefix + line for line in b.split(b"\n")), b"", prefix + b"[DONE]", b"", b""]
    server = serve(answer(byte_order_mark + end.join(lines), **SSE))
    assert side.collect(side.stream_tokens(server)) == ["a", "b"]


def test_comments(side, serve):
    body = [b":\n\n", b": keepalive\n\n", event(token("a")), b":\n", Pause(0.1), b":\r\n\r\n"]
    server = serve(answer(*body, event(token("b", last="ab")), b":", **SSE))
    assert side.collect(side.stream_tokens(server)) == ["a", "b"]


def test_a_last_event_without_blank_line(side, serve):
    server = serve(answer(event(token("a", last="a"))[:-2], **SSE))
    assert side.collect(side.stream_tokens(server)) == ["a"]


def call_error(side, server, **options):
    """Return the error that the call for a stream raises."""
    with pytest.raises(hfgen.HfgenError) as caught:
        side.stream_tokens(server, **options)
    return caught.value


ERRORS = [
    ({"error": "e", "error_type": "generation"}, hfgen.GenerationError, 424),
    ({"error": "e", "error_type": "overloaded"}, hfgen.OverloadedError, 429),
    ({"error": "e", "error_type": "validation"}, hfgen.ValidationError, 422),
    ({"error": ["e", "f"]}, hfgen.ServerError, 500),
    ({"error": {"message": "e", "type": "t", "code": 400}}, hfgen.ValidationError, 400),
    ({"error": {"message": "e", "http_status_code": 422}}, hfgen.ValidationError, 422),
    ({"object": "error", "message": "e", "code": 404}, hfgen.NotFoundError, 404),
]


@pytest.mark.parametrize(("body", "kind", "status"), ERRORS)
@pytest.mark.parametrize("before", [[], [token("a"), token("</s>", special=True), token("b")]])
def test_an_error_inside_the_stream(side, serve, body, kind, status, before):
    server = serve(events(*before, body, b"data: [DONE]\n\n", x_request_id="r1"))
    if before:
        error, items = read_until_error(side, side.stream_tokens(server))
    else:
        # Before the first token it is an error of the call.
        error, items = call_error(side, server, max_retries=0), []
    assert type(error) is kind
    assert error.status == status
    assert error.text == "".join(items) == ("ab" if before else "")
    assert len(server.requests) == 1


def test_an_error_inside_the_stream_has_the_headers_of_the_answer(side, serve):
    body = {"error": "e", "error_type": "generation"}
    server = serve(events(body, x_request_id="r1"), events(token("a"), body, x_request_id="r2"))
    assert call_error(side, server).request_id == "r1"
    error, _ = read_until_error(side, side.stream_tokens(server))
    assert error.request_id == "r2"


def test_an_error_in_the_field_of_older_llama_cpp(side, serve):
    body = b'error: {"code":503,"message":"Loading model","type":"unavailable_error"}\n\n'
    server = serve(events(body, b"data: [DONE]\n\n"))
    error = call_error(side, server, max_retries=0)
    assert type(error) is hfgen.ModelLoadingError


def test_after_an_error_the_stream_has_ended(side, serve):
    server = serve(events(token("a"), {"error": "e"}, Pause(0.1), token("late", last="late")))
    stream = side.stream_tokens(server)
    read_until_error(side, stream)
    with pytest.raises((StopIteration, hfgen.HfgenError)):
        side.next(stream)


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_a_stream_that_ends_without_a_last_event_is_incomplete(side, serve, framing):
    server = serve(events(token("Once"), token(" upon"), framing=framing))
    error, items = read_until_error(side, side.stream_tokens(server))
    assert type(error) is hfgen.IncompleteGenerationError
    assert error.text == "Once upon"
    assert items == ["Once", " upon"]
    assert len(server.requests) == 1


def test_a_stream_that_ends_with_done_only(side, serve):
    server = serve(events(token("Once"), b"data: [DONE]\n\n"))
    assert side.collect(side.stream_tokens(server)) == ["Once"]


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_an_empty_body(side, serve, framing):
    server = serve(events(framing=framing), events(token("a", last="a")))
    assert side.collect(side.stream_tokens(server)) == ["a"]
    assert len(server.requests) == 2
    error = call_error(side, serve(events(framing=framing)), max_retries=0)
    assert type(error) is hfgen.IncompleteGenerationError
    assert error.text == ""


@pytest.mark.parametrize("cut", [Cut(), Cut(reset=True)], ids=["closed", "reset"])
def test_an_abrupt_close(side, serve, cut):
    server = serve(events(token("Once"), token(" upon"), Pause(0.2), cut))
    error, items = read_until_error(side, side.stream_tokens(server))
    assert type(error) is hfgen.IncompleteGenerationError
    assert error.text == "Once upon"
    assert items == ["Once", " upon"]
    assert isinstance(error.__cause__, hfgen.ConnectError)
    assert len(server.requests) == 1


def test_an_abrupt_close_inside_a_chunk(side, serve):
    body = event(token("Once")) + event(token(" up")) + b"data: {"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    chunk = b"%s\r\n%x\r\n%s" % (head, len(body) + 50, body)
    error, items = read_until_error(
        side, side.stream_tokens(serve(answer(chunk, Cut(), framing="raw")))
    )
    assert type(error) is hfgen.IncompleteGenerationError
    assert error.text == "".join(items)
    # The tokens that had arrived are not lost.
    assert items == ["Once", " up"]


def test_an_abrupt_close_after_the_last_event_is_no_error(side, serve):
    server = serve(events(token("Once", last="Once"), Pause(0.1), Cut()))
    assert side.collect(side.stream_tokens(server)) == ["Once"]


@pytest.mark.parametrize("verb", ["stream_tokens", "stream_bytes"])
def test_a_reset_is_never_the_end_of_a_body(side, serve, verb):
    body = event(token("Once")) + b'data: {"index'
    server = serve(
        answer(body, Pause(0.2), Cut(reset=True), framing="close", content_type=SSE["content-type"])
    )
    error, _ = read_until_error(side, getattr(side, verb)(server))
    assert type(error) in {hfgen.ConnectError, hfgen.IncompleteGenerationError}


@pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens", "stream_bytes"])
@pytest.mark.parametrize("end", [10, 15, 17, 30, 50, 51])
def test_an_abrupt_close_inside_the_headers(side, serve, verb, end):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"[:end]
    server = serve(answer(head, Cut(), framing="raw"))
    with pytest.raises(hfgen.ConnectError):
        side.outcome(verb, server, retry=hfgen.Retry(max_retries=1, backoff=0))
    assert len(server.requests) == 2


def test_an_abrupt_close_after_a_whole_answer(side, serve):
    body = answer(b'{"generated_text": ', Cut(), b'"never sent"}', framing="length")
    with pytest.raises(hfgen.HfgenError) as caught:
        side.run(serve(body), max_retries=0)
    assert isinstance(caught.value, hfgen.ConnectError | hfgen.IncompleteGenerationError)


def test_a_stall_in_mid_stream(side, serve):
    server = serve(events(token("Once"), token(" upon"), Hang()))
    error, items = read_until_error(
        side, side.stream_tokens(server, timeout=hfgen.Timeout(between_tokens=0.3))
    )
    assert type(error) is hfgen.TimeoutError
    assert isinstance(error, TimeoutError)
    assert error.phase == "between_tokens"
    assert error.text == "Once upon"
    assert items == ["Once", " upon"]
    side.wait_for(server.request().hung_up)


def test_the_time_of_the_reader_does_not_count(side, serve):
    server = serve(events(token("Once"), Pause(0.2), token(" upon", last="Once upon")))
    stream = side.stream_tokens(server, timeout=hfgen.Timeout(between_tokens=0.7))
    assert side.next(stream) == "Once"
    side.sleep(1.0)
    assert side.collect(stream) == [" upon"]


def test_each_read_has_the_whole_timeout(side, serve):
    story = [step for text in "abcd" for step in (token(text), Pause(0.3))]
    server = serve(events(*story, token("e", last="abcde")))
    assert side.collect(
        side.stream_tokens(server, timeout=hfgen.Timeout(between_tokens=1))
    ) == list("abcde")


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize("wrap", [lambda body: body, lambda body: [body]], ids=["object", "list"])
def test_json_in_answer_to_stream(side, serve, content_type, wrap):
    server = serve(as_json(wrap({"generated_text": "Once upon"}), content_type=content_type))
    assert side.collect(side.stream_tokens(server)) == ["Once upon"]
    [chunk] = side.collect(side.stream(server))
    assert chunk.generated_text == "Once upon"


def test_a_stream_in_answer_to_run(side, serve):
    server = serve(answer(*map(event, STORY), content_type="text/event-stream; charset=utf-8"))
    [text] = side.run(server)
    assert text.generated_text == "Once upon"


def test_an_incomplete_stream_in_answer_to_run(side, serve):
    server = serve(events(token("Once")))
    with pytest.raises(hfgen.IncompleteGenerationError) as caught:
        side.run(server)
    assert caught.value.text == "Once"
    assert len(server.requests) == 1


VERBS = ["run", "stream", "stream_tokens", "stream_bytes"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, b"", hfgen.AuthenticationError, "HF_TOKEN"),
        (403, b"no", hfgen.PermissionDeniedError, "403 Forbidden: no"),
        (404, b"<html><title>Not Found</title></html>", hfgen.NotFoundError, "/generate"),
        (410, b'{"error": "is no longer supported"}', hfgen.StatusError, "no longer"),
        (422, b"Failed to deserialize", hfgen.ValidationError, "deserialize"),
        (424, b'{"error": "e", "error_type": "generation"}', hfgen.GenerationError, "e"),
        (500, b"<html><h1>Oh &amp; no</h1></html>", hfgen.ServerError, "Oh & no"),
    ],
)
def test_an_error_status_is_raised_by_the_call(side, serve, verb, status, body, kind, words):
    server = serve(answer(body, status=status, framing="length", x_request_id="r1"))
    with pytest.raises(hfgen.StatusError, match=words) as caught:
        getattr(side, verb)(server)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.body == body
    assert caught.value.request_id == "r1"
    assert len(server.requests) == 1


@pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens"])
def test_an_error_object_under_200(side, serve, verb):
    server = serve(as_json({"error": "no", "error_type": "validation"}))
    with pytest.raises(hfgen.ValidationError, match="no"):
        side.outcome(verb, server)


@pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens"])
def test_a_web_page_under_200(side, serve, verb):
    server = serve(answer(b"<html><title>Log in</title></html>", content_type="text/html"))
    with pytest.raises(hfgen.MalformedAnswerError, match="Log in"):
        getattr(side, verb)(server)


@pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens"])
@pytest.mark.parametrize("status", [200, 204])
def test_an_empty_body_under_200(side, serve, verb, status):
    # A 204 has no body, and no framing.
    server = serve(answer(status=status, framing="close"))
    with pytest.raises((hfgen.MalformedAnswerError, hfgen.IncompleteGenerationError)):
        side.outcome(verb, server)


@pytest.mark.parametrize("verb", VERBS)
def test_an_error_body_that_breaks(side, serve, verb):
    server = serve(answer(b"no", Cut(), b"such model", status=404, framing="length"))
    with pytest.raises(hfgen.NotFoundError, match="404"):
        getattr(side, verb)(server)


def test_an_endless_error_body_is_cut(side, serve):
    server = serve(answer(b"x" * 3_000_000, status=422))
    with pytest.raises(hfgen.ValidationError) as caught:
        side.run(server)
    assert len(caught.value.body) == 1024 * 1024
    assert len(str(caught.value)) < 400


def test_an_error_body_that_never_comes(side, serve):
    server = serve(answer(b"no", Hang(), status=404))
    with pytest.raises(hfgen.NotFoundError):
        side.run(server, timeout=0.3)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_temporary_errors_are_retried(side, serve, verb, status):
    later = as_json({"generated_text": "a"})
    server = serve(as_json({"error": "wait"}, status, retry_after="0"), later)
    assert side.outcome(verb, server)
    assert len(server.requests) == 2
    assert server.requests[0].body == server.requests[1].body
    # The retry uses the same connection.
    assert server.connections == 1


def test_retries_of_a_loading_model_are_limited(side, serve):
    server = serve(as_json({"error": "Model is currently loading", "estimated_time": 20.0}, 503))
    with pytest.raises(hfgen.ModelLoadingError) as caught:
        side.run(server, max_retries=1)
    assert caught.value.estimated_time == 20.0
    assert len(server.requests) == 2


def test_retry_after_is_obeyed(side, serve):
    server = serve(
        as_json({"error": "slow"}, 429, retry_after="0"), as_json({"generated_text": ""})
    )
    assert side.run(server)[0].generated_text == ""
    server = serve(as_json({"error": "slow"}, 429, retry_after="999"))
    with pytest.raises(hfgen.RateLimitError) as caught:
        side.run(server)
    assert caught.value.retry_after == 999
    assert len(server.requests) == 1


def test_optional_and_unknown_fields_of_chunks(side, serve):
    chunks = [
        {"token": {"text": "", "logprob": None, "new": 1}, "new": {"a": []}},
        {"index": 2, "token": {"text": "a", "special": False}, "generated_text": None},
        {
            "token": {"id": 3, "text": "b"},
            "generated_text": "ab",
            "details": {"finish_reason": "", "generated_tokens": 3, "new": None},
        },
    ]
    server = serve(events(*chunks))
    assert [chunk.to_dict() for chunk in side.collect(side.stream(server))] == chunks
    assert side.collect(side.stream_tokens(server)) == ["", "a", "b"]


def test_a_kept_alive_connection_that_the_server_closed_is_replaced(side, serve):
    good = as_json({"generated_text": "a"})
    closing = ScriptedAnswer((*good.body, Cut()), headers=good.headers, framing="length")
    server = serve(closing)
    for _ in range(3):
        assert side.run(server, max_retries=0)
        side.sleep(0.1)
    assert server.connections == 3


@pytest.mark.parametrize("cut", [Cut(), Cut(reset=True)], ids=["closed", "reset"])
def test_a_request_on_which_the_server_closed_the_connection_is_sent_again(side, serve, cut):
    good = as_json({"generated_text": "a"})
    server = serve(good, answer(cut, framing="raw"), good)
    assert side.run(server)
    assert side.run(server)
    assert len(server.requests) == 3


def test_a_request_is_never_sent_again_after_a_token(side, serve):
    server = serve(events(token("a"), Cut()), events(token("b", last="b")))
    error, items = read_until_error(side, side.stream_tokens(server))
    assert type(error) is hfgen.IncompleteGenerationError
    assert items == ["a"]
    assert len(server.requests) == 1


def test_a_part_of_an_answer_is_not_an_answer(side, serve):
    broken = answer(b'{"generated_text"', Cut(), b"xxx", framing="length")
    server = serve(broken, as_json({"generated_text": "a"}))
    with pytest.raises(hfgen.ConnectError):
        side.run(server, max_retries=0)
    # The caller has received nothing of the answer, so the request may be retried.
    assert side.run(serve(broken, as_json({"generated_text": "a"})))[0].generated_text == "a"


def test_special_tokens_are_left_out_of_stream_tokens(side, serve):
    special = ["<s>", "</s>", "<|eot_id|>", "<|im_end|>", "<|endoftext|>", "y</s>"]
    story = [*(token(text, special=True) for text in special), token(" sky", last=" sky")]
    server = serve(events(*story))
    assert side.collect(side.stream_tokens(server)) == [" sky"]
    assert [chunk.token.text for chunk in side.collect(side.stream(server))] == [*special, " sky"]


def test_stop_strings_are_text(side, serve):
    server = serve(events(token("a"), token("STOP", last="aSTOP")))
    assert side.collect(side.stream_tokens(server)) == ["a", "STOP"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_to_another_host(side, serve, verb, status):
    target = serve(as_json({"generated_text": "a"}))
    source = serve(answer(b"over there", status=status, location=f"{target.url}/new"))
    secrets = {"cookie": "a=b", "x-secret": "c"}
    assert side.outcome(verb, source, api_key="hf_key", headers=secrets)
    assert source.request().headers["authorization"] == "Bearer hf_key"
    request = target.request()
    assert request.path == "/new"
    assert request.method == "POST"
    assert request.body == source.request().body
    assert not {"authorization", "cookie", "x-secret"} & set(request.headers)
    assert "hf_key" not in repr(request)


def test_a_redirect_on_the_same_host(side, serve):
    server = serve(
        answer(status=307, location="/new", framing="length"), as_json({"generated_text": "a"})
    )
    assert side.run(server, api_key="hf_key")
    assert server.request(1).path == "/new"
    assert server.request(1).headers["authorization"] == "Bearer hf_key"


def test_redirects_without_end(side, serve):
    server = serve(answer(status=307, location="/again", framing="length"))
    with pytest.raises(hfgen.StatusError, match="redirects"):
        side.run(server)
    assert len(server.requests) < 20


NO_HTTP = [
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffffff\r\nx",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nx\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
    b"\x16\x03\x01\x00\x00",
    b"",
]


@pytest.mark.parametrize("body", NO_HTTP, ids=lambda body: repr(body[-30:]))
@pytest.mark.parametrize("verb", ["run", "stream"])
def test_malformed_http_is_an_error_of_hfgen(side, serve, verb, body):
    server = serve(answer(body, Cut(), framing="raw"))
    with pytest.raises(hfgen.HfgenError):
        side.outcome(verb, server, max_retries=0)


@pytest.mark.parametrize("body", NO_HTTP, ids=lambda body: repr(body[-30:]))
def test_no_error_in_its_chain_shows_the_key(side, serve, body):
    server = serve(answer(body, Cut(), framing="raw"))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its class is tested above
        side.run(server, api_key="hf_key", max_retries=0)
    errors = [caught.value]
    for error in errors:
        assert "hf_key" not in f"{error} {error!r} {vars(error)}"
        errors.extend(e for e in (error.__cause__, error.__context__) if e and e not in errors)


def test_a_compressed_answer_is_read(side, serve):
    import gzip  # noqa: PLC0415

    body = gzip.compress(json.dumps({"generated_text": "a"}).encode())
    for framing in ("chunked", "length", "close"):
        zipped = answer(body, framing=framing, content_encoding="gzip")
        assert side.run(serve(zipped))[0].generated_text == "a"
    story = gzip.compress(b"".join(map(event, STORY)))
    zipped = events(story[:20], story[20:], content_encoding="gzip")
    assert side.collect(side.stream_tokens(serve(zipped))) == ["Once", " upon"]


def test_the_overload_error_of_tgi_is_a_429(side, serve):
    body = {"error": "Model is overloaded", "error_type": "overloaded"}
    error = call_error(side, serve(events(body)), max_retries=0)
    assert type(error) is hfgen.OverloadedError
    assert error.status == 429


@pytest.mark.parametrize("last", [token("b", last="ab"), b"data: [DONE]\n\n"])
@pytest.mark.parametrize("limits", [{}, {"timeout": None}])
def test_a_connection_that_stays_open_after_the_end_is_not_waited_for(side, serve, last, limits):
    server = serve(events(token("a"), last, Hang()))
    assert "".join(side.collect(side.stream_tokens(server, **limits))).startswith("a")
    side.wait_for(server.request().hung_up)


def test_null_is_read_like_an_absent_field(side, serve):
    body = {"generated_text": "a", "details": {"prefill": None, "tokens": None, "seed": None}}
    assert side.run(serve(as_json(body)))[0].details.tokens == []
    server = serve(events(token("a"), {"index": 2, "token": None, "generated_text": "a"}))
    assert side.collect(side.stream_tokens(server)) == ["a", ""]


@pytest.mark.parametrize("kind", [{}, {"content_type": "text/plain"}])
def test_json_without_a_json_content_type_is_read(side, serve, kind):
    server = serve(answer(b'[{"generated_text": "a"}]', **kind))
    assert side.collect(side.stream_tokens(server)) == ["a"]
