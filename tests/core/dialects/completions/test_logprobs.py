"""Tokens and log-probabilities in streams of completions, in the shapes of each server."""

import pytest

from helpers.completion_streams import USAGE, chunks, only_usage, piece, texts
from hfgen.testing import done
from hfgen.types import Token

END = "</s>"


def lists(*tokens):
    return {
        "text_offset": [0] * len(tokens),
        "token_logprobs": [-1.0] * len(tokens),
        "tokens": list(tokens),
        "top_logprobs": [{token: -1.0, "!": -0.5, "?": -2.0} for token in tokens],
    }


def content(*tokens):
    alternatives = [{"id": 9, "token": "!", "bytes": [33], "logprob": -0.5}]
    return {
        "content": [
            {"id": i, "token": t, "bytes": [], "logprob": -1.0, "top_logprobs": alternatives}
            for i, t in enumerate(tokens, start=7)
        ]
    }


def specials(got):
    return [chunk.token.special for chunk in got]


class TestOneTokenInAnEvent:
    @pytest.mark.parametrize("ids", [None, [7]])
    def test_in_the_shape_of_openai(self, ids):
        more = {"logprobs": lists("a"), "token_ids": ids}
        first, _ = chunks(piece("a", **more), piece("b", "length"), done(), top_n_tokens=2)
        assert first.token == Token(id=ids and 7, text="a", logprob=-1.0)
        assert first.top_tokens == [
            Token(text="!", logprob=-0.5),
            Token(id=ids and 7, text="a", logprob=-1.0),
        ]

    def test_in_the_shape_of_llama_cpp(self):
        options = {"kind": "llama.cpp", "top_n_tokens": 1}
        got = chunks(piece("a", logprobs=content("a")), piece("", "stop"), done(), **options)
        assert got[0].token == Token(id=7, text="a", logprob=-1.0)
        assert got[0].top_tokens == [Token(id=9, text="!", logprob=-0.5)]
        # The end-of-sequence token, which TGI's own stream has as a token too.
        assert (got[1].token.text, got[1].generated_text) == ("", "a")
        assert got[1].details.finish_reason == "eos_token"

    def test_alternatives_only_if_the_request_asks_for_them(self):
        got = chunks(piece("a", "length", logprobs=lists("a")), done(), details=True)
        assert got[0].top_tokens is None

    def test_id_alone(self):
        assert chunks(piece("a", "length", token_ids=[5]), done())[0].token.id == 5

    @pytest.mark.parametrize("logprobs", [lists("\ufffd"), content("")])
    def test_a_token_of_half_a_character_has_the_text_of_the_event(self, logprobs):
        got = chunks(piece("", logprobs=logprobs), piece("é", "length", logprobs=logprobs), done())
        assert texts(got) == ["", "é"]
        assert [chunk.token.logprob for chunk in got] == [-1.0, -1.0]
        assert got[-1].generated_text == "é"

    def test_tokens_are_counted(self):
        got = chunks(piece("a", logprobs=lists("a")), piece("b", "length", token_ids=[5]), done())
        assert got[-1].details.generated_tokens == 2
        got = chunks(piece("a", logprobs=lists("a")), piece("b", "length"), done())
        assert got[-1].details.generated_tokens is None

    @pytest.mark.parametrize(("word", "count"), [("length", 1), ("stop", 2)])
    def test_the_end_token_is_counted(self, word, count):
        got = chunks(piece("a", logprobs=content("a")), piece("", word), done())
        assert got[-1].details.generated_tokens == count

    def test_the_usage_replaces_the_count(self):
        got = chunks(piece("a", "length", logprobs=lists("a")), only_usage(), done())
        assert got[-1].details.generated_tokens == USAGE["completion_tokens"]


class TestSeveralTokensInAnEvent:
    @pytest.mark.parametrize("shape", [lists, content])
    def test_every_token_is_a_chunk(self, shape):
        got = chunks(piece("ab", logprobs=shape("a", "b")), piece("c", "length"), done())
        assert texts(got) == ["a", "b", "c"]
        assert [chunk.index for chunk in got] == [1, 2, 3]
        assert got[-1].generated_text == "abc"

    @pytest.mark.parametrize(
        "more", [{"logprobs": lists("\ufffd", "\ufffd")}, {"token_ids": [5, 6]}]
    )
    def test_if_the_texts_do_not_fit_the_last_token_gets_the_text(self, more):
        got = chunks(piece("é", **more), piece("c", "length"), done())
        assert texts(got) == ["", "é", "c"]
        assert got[-1].generated_text == "éc"

    def test_only_the_last_chunk_has_the_generated_text(self):
        got = chunks(piece("ab", "length", logprobs=lists("a", "b")), only_usage(), done())
        assert [chunk.generated_text for chunk in got] == [None, "ab"]


class TestTheEndToken:
    def test_is_special_if_the_text_lacks_it(self):
        last = piece("b", "stop", logprobs=lists("b", END), stop_reason=None)
        got = chunks(piece("a"), last, done(), stop=["x"], kind="vllm")
        assert (texts(got), specials(got)) == (["a", "b", END], [False, False, True])
        assert got[-1].generated_text == "ab"
        got = chunks(piece("a"), piece("", "stop", logprobs=lists(END)), done())
        assert (texts(got), specials(got)) == (["a", END], [False, True])

    def test_of_tgi(self):
        last = piece(END, "eos_token", logprobs=lists(END), usage=USAGE)
        got = chunks(piece("a", ""), last, done(), kind="tgi")
        assert specials(got) == [False, True]
        assert got[-1].token.logprob == -1.0
        assert got[-1].generated_text == "a"

    def test_a_last_token_without_text_is_not_special_if_the_generation_was_cut(self):
        got = chunks(piece("", "length", logprobs=lists(END)), done())
        assert (texts(got), specials(got)) == ([""], [False])


@pytest.mark.parametrize(
    "logprobs",
    [
        "?",
        {"tokens": [5]},
        {"tokens": ["a"], "token_logprobs": "?", "top_logprobs": {"a": 1}},
        {"tokens": ["a"], "token_logprobs": [None], "top_logprobs": [{"a": "?"}]},
        {"content": [{"logprob": -1.0}]},
        {"content": [{"token": "a", "id": "?"}]},
        {"content": "?"},
    ],
)
def test_log_probabilities_that_cannot_be_read_do_not_break_the_text(logprobs):
    got = chunks(piece("a", logprobs=logprobs), piece("b", "length"), done(), top_n_tokens=2)
    assert texts(got) == ["a", "b"]
    assert got[0].token.logprob is None
    assert not got[0].top_tokens


class TestTheMaximumOfTokens:
    """The token that reaches the maximum is held back until the finish reason may have come."""

    def test_the_finish_reason_comes_with_the_last_token(self):
        steps = [piece("a"), piece("b"), piece("", "length", usage=USAGE), done()]
        got = chunks(*steps, max_new_tokens=2)
        assert [(c.token.text, c.generated_text) for c in got] == [("a", None), ("b", "ab")]
        assert got[-1].details.finish_reason == "length"
        assert len(chunks(*steps, max_new_tokens=3)) == 3

    def test_more_tokens_follow(self):
        steps = [piece("a"), piece("b"), piece("c"), piece("d", "length"), done()]
        got = chunks(*steps, max_new_tokens=2)
        assert texts(got) == ["a", "b", "c", "d"]
        assert got[-1].generated_text == "abcd"

    def test_no_finish_reason_comes(self):
        got = chunks(piece("a"), piece("b"), done(), max_new_tokens=2)
        assert [(c.token.text, c.generated_text) for c in got] == [("a", None), ("b", "ab")]

    def test_more_text_comes_with_the_finish_reason(self):
        got = chunks(piece("a"), piece("b", "length"), done(), max_new_tokens=1)
        assert texts(got) == ["a", "b"]
        assert got[-1].generated_text == "ab"
