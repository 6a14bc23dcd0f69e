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


class TestOneInAnEvent:
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
        # Its end, which TGI's stream has as a token too.
        assert (got[1].token.text, got[1].generated_text) == ("", "a")
        assert got[1].details.finish_reason == "eos_token"

    def test_alternatives_are_there_only_if_they_were_asked_for(self):
        got = chunks(piece("a", "length", logprobs=lists("a")), done(), details=True)
        assert got[0].top_tokens is None

    def test_id_alone(self):
        assert chunks(piece("a", "length", token_ids=[5]), done())[0].token.id == 5

    @pytest.mark.parametrize("logprobs", [lists("\ufffd"), content("")])
    def test_of_half_a_character_has_the_text_of_the_event(self, logprobs):
        got = chunks(piece("", logprobs=logprobs), piece("é", "length", logprobs=logprobs), done())
        assert texts(got) == ["", "é"]
        assert [chunk.token.logprob for chunk in got] == [-1.0, -1.0]
        assert got[-1].generated_text == "é"

    def test_are_counted(self):
        got = chunks(piece("a", logprobs=lists("a")), piece("b", "length", token_ids=[5]), done())
        assert got[-1].details.generated_tokens == 2
        got = chunks(piece("a", logprobs=lists("a")), piece("b", "length"), done())
        assert got[-1].details.generated_tokens is None

    @pytest.mark.parametrize(("word", "count"), [("length", 1), ("stop", 2)])
    def test_of_which_the_end_of_the_text_is_one(self, word, count):
        got = chunks(piece("a", logprobs=content("a")), piece("", word), done())
        assert got[-1].details.generated_tokens == count

    def test_the_usage_counts_better(self):
        got = chunks(piece("a", "length", logprobs=lists("a")), only_usage(), done())
        assert got[-1].details.generated_tokens == USAGE["completion_tokens"]


class TestSeveralInAnEvent:
    @pytest.mark.parametrize("shape", [lists, content])
    def test_are_chunks_of_their_own(self, shape):
        got = chunks(piece("ab", logprobs=shape("a", "b")), piece("c", "length"), done())
        assert texts(got) == ["a", "b", "c"]
        assert [chunk.index for chunk in got] == [1, 2, 3]
        assert got[-1].generated_text == "abc"

    @pytest.mark.parametrize(
        "more", [{"logprobs": lists("\ufffd", "\ufffd")}, {"token_ids": [5, 6]}]
    )
    def test_that_are_not_its_text_have_it_in_the_last(self, more):
        got = chunks(piece("é", **more), piece("c", "length"), done())
        assert texts(got) == ["", "é", "c"]
        assert got[-1].generated_text == "éc"

    def test_only_the_last_of_them_is_the_last(self):
        got = chunks(piece("ab", "length", logprobs=lists("a", "b")), only_usage(), done())
        assert [chunk.generated_text for chunk in got] == [None, "ab"]


class TestTheEndToken:
    def test_is_special_where_only_the_log_probabilities_have_it(self):
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

    def test_is_none_where_the_generation_was_cut(self):
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


class TestAsManyAsMayCome:
    """The last of them is held back for what llama.cpp says of the end in an event of its own."""

    def test_end_with_the_last_one(self):
        steps = [piece("a"), piece("b"), piece("", "length", usage=USAGE), done()]
        got = chunks(*steps, max_new_tokens=2)
        assert [(c.token.text, c.generated_text) for c in got] == [("a", None), ("b", "ab")]
        assert got[-1].details.finish_reason == "length"
        assert len(chunks(*steps, max_new_tokens=3)) == 3

    def test_or_are_not_the_last(self):
        steps = [piece("a"), piece("b"), piece("c"), piece("d", "length"), done()]
        got = chunks(*steps, max_new_tokens=2)
        assert texts(got) == ["a", "b", "c", "d"]
        assert got[-1].generated_text == "abcd"

    def test_or_end_without_a_reason(self):
        got = chunks(piece("a"), piece("b"), done(), max_new_tokens=2)
        assert [(c.token.text, c.generated_text) for c in got] == [("a", None), ("b", "ab")]

    def test_or_end_with_more_of_the_text(self):
        got = chunks(piece("a"), piece("b", "length"), done(), max_new_tokens=1)
        assert texts(got) == ["a", "b"]
        assert got[-1].generated_text == "ab"
