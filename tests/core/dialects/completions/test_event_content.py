"""The content of events of completions: errors in every shape, optional and unknown fields."""

import json

import pytest

from helpers.completion_streams import USAGE, chunks, only_usage, piece, read, texts
from hfgen import (
    IncompleteGenerationError,
    MalformedStreamError,
    ModelLoadingError,
    OverloadedError,
    ServerError,
    ValidationError,
)
from hfgen._core.body import EventBody, select_chunk
from hfgen._core.dialects.completions import Completions
from hfgen.testing import done, event, fault


class TestErrors:
    @pytest.mark.parametrize(
        ("payload", "kind"),
        [
            (fault("no", server="tgi-v1"), ValidationError),
            (fault("no", server="vllm"), ServerError),
            (fault("no", server="vllm-old"), ServerError),
            (fault("no", server="openai", kind="BadRequestError", code=400), ValidationError),
            (fault("The request queue is full.", server="sglang"), OverloadedError),
            (fault("Loading model", server="llama.cpp"), ModelLoadingError),
            (fault("no", server="llama.cpp", kind="exceed_context", code=400), ValidationError),
            (fault("no", server="hosted"), ServerError),
            ({"error": "no"}, ServerError),
            ({"detail": "no"}, ServerError),
            ({"message": "no", "code": 400}, ValidationError),
            ({"title": "no", "status": 400}, ValidationError),
            # The shape of a router in front of several servers.
            ({"error": {"message": "no", "code": 502}, "choices": []}, ServerError),
        ],
    )
    def test_in_every_shape(self, payload, kind):
        assert read(event(payload), done())[:2] == ([], kind)
        got, error, _, text = read(piece("a"), event(payload), piece("b", "stop"), done())
        assert (texts(got), error, text) == (["a"], kind, "a")

    def test_in_a_field_or_an_event_named_error(self):
        payload = {"code": 500, "message": "no", "type": "server_error"}
        assert (
            read(piece("a"), b"error: " + json.dumps(payload).encode() + b"\n\n")[1] is ServerError
        )
        assert read(event("no", name="error"))[1] is ServerError

    @pytest.mark.parametrize("error", [None, "", {}, False])
    def test_an_error_that_is_null_or_empty(self, error):
        payload = {"error": error, "choices": [{"text": "a", "finish_reason": "stop"}]}
        assert chunks(event(payload), done())[-1].generated_text == "a"

    @pytest.mark.parametrize(
        "data",
        [b"{", b"5", b'["ping"]', b'{"new": "text"}', b"hello", b'{"choices": 5}',
         b'{"choices": [5]}', b'{"choices": [{"text": 5}]}', b'{"choices": [{"text": "\xff',
         b"[done]", b"{" * 9_000],
        ids=lambda data: repr(data[:30]),
    )  # fmt: skip
    def test_malformed_events_are_shown_in_the_error(self, data):
        got, error, message, text = read(piece("a"), b"data: " + data + b"\n\n")
        assert (texts(got), error, text) == (["a"], MalformedStreamError, "a")
        assert repr(data[:20])[:-1] in message


def delta(content, finish_reason=None, **fields):
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}
    return event({"object": "chat.completion.chunk", "choices": [choice | fields]})


class TestChoicesWithoutText:
    @pytest.mark.parametrize(
        "steps",
        [
            [delta("a"), delta("b"), delta(None, "stop"), only_usage(), done()],
            [delta("a"), delta("b", "stop")],
            [delta("a"), done()],
            [delta("ab", "stop"), done()],
            [event({"choices": [{"index": 0, "message": {"content": "ab"}}]}), done()],
            [event({"choices": [{"index": 0, "content": "ab"}]}), done()],
            [event({"choices": [{"index": 0}]}), event({"choices": [{"finish_reason": "stop"}]})],
        ],
    )
    def test_are_no_completion(self, steps):
        got, error, message, text = read(*steps)
        assert (got, error, text) == ([], MalformedStreamError, "")
        assert "its choices have no text" in message
        # The start of the first event shows which kind of server it is.
        assert repr(steps[0][6:30])[:-1] in message

    def test_that_break_off_are_incomplete(self):
        assert read(delta("a"), delta("b"))[1] is IncompleteGenerationError

    @pytest.mark.parametrize(
        "first", [b"", piece(""), piece("", usage=USAGE), piece(None)], ids=repr
    )
    @pytest.mark.parametrize("end", [b"", done(), only_usage() + done()], ids=repr)
    def test_the_last_one_may_have_none(self, first, end):
        # LiteLLM's proxy leaves out fields that are empty.
        last = event({"choices": [{"index": 0, "finish_reason": "stop"}]})
        [chunk] = chunks(first, last, end)
        assert chunk.generated_text == ""
        assert chunks(first, piece("a"), last, end)[-1].generated_text == "a"


class TestWhatServersVary:
    @pytest.mark.parametrize(
        "noise",
        [
            b":\n\n",
            b": keepalive\n\n",
            b"data: \n\n",
            b"event: ping\ndata: {}\n\n",
            b"event: progress\ndata: 50%\n\n",
            event({"choices": []}),
            event({"choices": [], "prompt_filter_results": [{}]}),
            piece(""),
            piece("", ""),
            piece(None),
            piece("", logprobs={}),
            piece("", logprobs={"tokens": [], "token_logprobs": []}),
            event({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}),
        ],
    )
    def test_events_without_content_are_no_chunks(self, noise):
        steps = (noise, piece("a"), noise, piece("b", "length"), noise, done())
        got = chunks(*steps)
        assert (texts(got), got[-1].generated_text) == (["a", "b"], "ab")

    @pytest.mark.parametrize(
        "more",
        [
            {"finish_reason": ""},
            {"finish_reason": 5},
            {"index": None},
            {"index": "0"},
            {"token_ids": "?"},
            {"token_ids": None, "prompt_token_ids": [1]},
            {"logprobs": "?"},
            {"logprobs": {"tokens": 5, "content": 6}},
            {"seed": 7, "new": {"a": [None]}},
        ],
    )
    def test_unknown_fields_of_a_choice(self, more):
        payload = event({"choices": [{"text": "\u2028é", **more}], "usage": "?", "new": 1})
        got = chunks(payload, piece("b", "length"), done())
        assert texts(got) == ["\u2028é", "b"]

    def test_framing(self):
        steps = [piece("a"), piece("é\u2028", "stop"), only_usage(), done()]
        body = b"\xef\xbb\xbf" + b"".join(steps)
        for end in (b"\r\n", b"\r"):
            assert texts(chunks(body.replace(b"\n", end))) == ["a", "é\u2028"]
        assert texts(chunks(body.replace(b"data: ", b"event: message\nid: 1\ndata:"))) == [
            "a",
            "é\u2028",
        ]

    def test_a_hundred_thousand_tokens_are_read_in_linear_time(self):
        decoder = EventBody(Completions(), select_chunk)
        body = piece("a")
        assert sum(1 for _ in range(100_000) for _ in decoder.feed(body)) == 100_000
