"""Whole answers of OpenAI-compatible completions, without a stream."""

import json

import pytest

from hfgen import MalformedAnswerError, MalformedStreamError, ServerError, ValidationError
from hfgen._core.body import JsonBody, select_text
from hfgen._core.dialects.completions import Completions
from hfgen._core.dialects.server_kind import Server
from hfgen.types import Token

USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
END = "</s>"


def answers(payload, kind=None, inputs="a b", **parameters):
    dialect = Completions({"inputs": inputs, "parameters": parameters}, Server(kind))
    return dialect.read_answers(
        payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    )


def completion(*texts, usage=USAGE, **more):
    choices = [
        {"index": i, "text": text, "logprobs": None, "finish_reason": "length", **more}
        for i, text in enumerate(texts)
    ]
    return {"id": "c", "object": "text_completion", "choices": choices, "usage": usage}


def lists(*tokens, offsets=None):
    """Log-probabilities in the shape of OpenAI's completions, two alternatives a token."""
    return {
        "tokens": list(tokens),
        "token_logprobs": [-1.0] * len(tokens),
        "top_logprobs": [{"?": -2.0, token: -1.0, "!": -0.5} for token in tokens],
        "text_offset": offsets,
    }


def content(*tokens):
    """Log-probabilities in the shape of llama.cpp."""
    alternatives = [{"id": 9, "token": "!", "bytes": [33], "logprob": -0.5}]
    return {
        "content": [
            {"id": i, "token": t, "bytes": [], "logprob": -1.0, "top_logprobs": alternatives}
            for i, t in enumerate(tokens)
        ]
    }


class TestAnswers:
    def test_have_the_text_and_the_details(self):
        [answer] = answers(completion(" c"))
        assert answer.to_dict() == {
            "generated_text": " c",
            "details": {
                "finish_reason": "length",
                "generated_tokens": 3,
                "seed": None,
                "input_length": 2,
                "prefill": [],
                "tokens": [],
            },
        }

    def test_are_in_the_order_of_their_indices(self):
        payload = completion("x", "y", "z")
        payload["choices"].reverse()
        got = answers(payload, num_return_sequences=3)
        assert [answer.generated_text for answer in got] == ["x", "y", "z"]
        assert {answer.details.generated_tokens for answer in got} == {None}

    def test_several_answers_count_their_own_tokens(self):
        got = answers(completion("xy", "xy", logprobs=lists("x", "y")))
        assert [answer.details.generated_tokens for answer in got] == [2, 2]

    @pytest.mark.parametrize(
        ("native", "more", "reason"),
        [
            ("stop", {}, "stop"),
            ("stop", {"stop_reason": None}, "eos_token"),
            ("stop", {"stop_reason": "x"}, "stop_sequence"),
            ("stop", {"matched_stop": 2}, "eos_token"),
            ("stop", {"text": " cx"}, "stop_sequence"),
            ("eos", {}, "eos_token"),
            ("length", {}, "length"),
            ("new", {}, "new"),
            ("", {}, None),
            (None, {}, None),
        ],
    )
    def test_the_finish_reason(self, native, more, reason):
        choice = {"text": " c", **more, "finish_reason": native}
        [answer] = answers({"choices": [choice]}, stop=["x"])
        assert answer.details.finish_reason == reason
        is_translated = native not in {reason, ""}
        assert answer.details.native_finish_reason == (native if is_translated else None)

    @pytest.mark.parametrize(
        "more",
        [
            {"text": None},
            {"text": "", "logprobs": {}, "token_ids": {}},
            {"text": "", "logprobs": {"tokens": None, "top_logprobs": [5]}},
            {"text": "", "index": None, "new": 5, "finish_reason": {}},
        ],
    )
    def test_optional_and_unknown_fields(self, more):
        [answer] = answers({"choices": [more], "usage": {"prompt_tokens": "?"}, "new": 1})
        assert answer.generated_text == ""
        assert answer.details.input_length is None

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"{}", b"null", b"[]", b"5", b'{"choices": []}', b'{"choices": null}',
            b'{"choices": [{}]}', b'{"choices": [{"message": {"content": "a"}}]}',
            b'{"choices": [{"text": 5}]}', b'{"choices": [{"text": "a', b"<html>", b"\xff",
            b'{"choices": [{"text": "\xff', b'[{"generated_text": "a"}]', b"[" * 100_000,
        ],
        ids=lambda body: repr(body[:40]),
    )  # fmt: skip
    def test_invalid_answers_are_shown_in_the_error(self, body):
        with pytest.raises(MalformedAnswerError) as caught:
            answers(body)
        assert repr(body[:20])[:-1] in str(caught.value)
        assert not isinstance(caught.value, MalformedStreamError)

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            ({"error": {"message": "no", "type": "x", "code": 400}}, ValidationError),
            ({"object": "error", "message": "no", "code": 400}, ValidationError),
            ({"error": "no", "error_type": "validation"}, ValidationError),
            ({"detail": "no"}, ServerError),
            ({"choices": [], "error": {"message": "no"}}, ServerError),
        ],
    )
    def test_errors(self, body, kind):
        with pytest.raises(kind, match="no"):
            answers(body)


class TestTokens:
    @pytest.mark.parametrize(
        ("logprobs", "ids", "expected_ids"),
        [
            (lists(" c", " d"), None, [None, None]),
            (lists(" c", " d"), [5, 6], [5, 6]),
            (lists(" c", " d"), [5], [None, None]),
            ({**lists(" c", " d"), "token_ids": [5, 6]}, None, [5, 6]),
            (content(" c", " d"), None, [0, 1]),
        ],
    )
    def test_are_read_in_both_shapes(self, logprobs, ids, expected_ids):
        [answer] = answers(completion(" c d", logprobs=logprobs, token_ids=ids))
        assert answer.details.tokens == [
            Token(id=number, text=text, logprob=-1.0)
            for text, number in zip([" c", " d"], expected_ids, strict=True)
        ]
        assert answer.details.top_tokens is None

    def test_with_their_likeliest_alternatives(self):
        payload = completion(" c", logprobs=lists(" c"), token_ids=[5])
        assert [[(t.text, t.id) for t in top] for top in
                answers(payload, top_n_tokens=2)[0].details.top_tokens] == [
                    [("!", None), (" c", 5)]]  # fmt: skip
        [top] = answers(completion(" c", logprobs=content(" c")), top_n_tokens=2)[
            0
        ].details.top_tokens
        assert top == [Token(id=9, text="!", logprob=-0.5)]

    @pytest.mark.parametrize(
        "logprobs",
        [
            {"tokens": [" c"]},
            {"tokens": [" c"], "token_logprobs": [], "top_logprobs": None},
            {"tokens": [" c"], "token_logprobs": ["?"], "top_logprobs": [[]]},
            {"tokens": [" c"], "token_logprobs": [None], "top_logprobs": [None], "content": None},
        ],
    )
    def test_lists_of_different_lengths(self, logprobs):
        [answer] = answers(completion(" c", logprobs=logprobs), top_n_tokens=2)
        assert answer.details.tokens == [Token(text=" c")]
        assert answer.details.top_tokens == [[]]

    def test_the_end_token_is_special(self):
        ended = {"finish_reason": "stop", "stop_reason": None}
        [answer] = answers(completion(" c", logprobs=lists(" c", END), **ended))
        assert [(t.text, t.special) for t in answer.details.tokens] == [(" c", False), (END, True)]
        [answer] = answers(completion(" c", logprobs=lists(" c", END), finish_reason="length"))
        assert [t.special for t in answer.details.tokens] == [False, False]


class TestFullText:
    @pytest.mark.parametrize("kind", [None, "vllm", "sglang", "provider", "tgi", "llama.cpp"])
    @pytest.mark.parametrize("text", [" c", "a b"])
    def test_is_prompt_and_text_even_if_the_text_repeats_the_prompt(self, kind, text):
        [answer] = answers(completion(text), kind, return_full_text=True)
        assert answer.generated_text == "a b" + text

    def test_is_not_added_without_return_full_text(self):
        assert answers(completion(" c"))[0].generated_text == " c"
        assert answers(completion("a b"))[0].generated_text == "a b"

    def test_with_an_empty_prompt(self):
        assert answers(completion("c"), inputs="", return_full_text=True)[0].generated_text == "c"


@pytest.mark.parametrize(
    "more",
    [{"token_ids": [5, 6]}, {"logprobs": {"tokens": ["token_id:5"], "token_logprobs": [-1.0]}}],
)
def test_a_json_answer_to_a_stream_request_loses_no_text(more):
    payload = {"choices": [{"text": " upon a", "finish_reason": "length", **more}]}
    decoder = JsonBody(
        Completions({"inputs": "Once", "parameters": {"details": True}}), select_text
    )
    assert list(decoder.feed(json.dumps(payload).encode())) == []
    assert list(decoder.finish()) == [" upon a"]
