"""together's own shape of a stream: the token and the finish reason are beside the choices.

Made after the types in `src/together/types/completion_chunk.py` of its SDK (together-py).
"""

import pytest

from helpers.completion_streams import USAGE, chunks, read, texts
from hfgen import IncompleteGenerationError, MalformedStreamError
from hfgen.testing import done, event


def piece(text=None, token=None, finish_reason=None, choice=None, **fields):
    """An event; without a text the choice has none."""
    choices = [{"index": 0, **({} if text is None else {"text": text}), **(choice or {})}]
    payload = {"id": "c", "object": "completion.chunk", "choices": choices}
    return event({**payload, "token": token, "finish_reason": finish_reason, **fields})


def token(token_id, *, special=False, **fields):
    return {"id": token_id, "logprob": -0.25 * token_id, "special": special, **fields}


@pytest.mark.parametrize(
    ("end_text", "end_token"),
    [
        ("</s>", token(2, special=True)),
        ("", token(2, special=True)),
        (None, token(2, special=True)),
        (None, token(2, special=True, text="</s>")),
    ],
)
@pytest.mark.parametrize("usage", [{}, {"usage": USAGE}])
def test_tokens_and_end(end_text, end_token, usage):
    got = chunks(
        piece(" upon", token(5)),
        piece(" a", token(6), choice={"delta": {"content": " a", "token_id": 6}}),
        piece(end_text, end_token, "eos", **usage),
        done(),
        kind="provider",
    )
    assert [(c.token.id, c.token.logprob, c.token.special) for c in got] == [
        (5, -1.25, False),
        (6, -1.5, False),
        (2, -0.5, True),
    ]
    assert texts(got)[:2] == [" upon", " a"]
    assert got[-1].generated_text == " upon a"
    assert got[-1].details.finish_reason == "eos_token"
    assert got[-1].details.native_finish_reason == "eos"
    assert got[-1].details.generated_tokens == (2 if usage else 3)


def test_a_special_token_in_the_middle_is_no_text():
    got = chunks(
        piece("a", token(5)),
        piece("<|tool|>", token(9, special=True)),
        piece("b", token(6), "length"),
        done(),
    )
    assert [c.token.special for c in got] == [False, True, False]
    assert texts(got) == ["a", "<|tool|>", "b"]
    assert got[-1].generated_text == "ab"
    assert got[-1].details.finish_reason == "length"


def test_the_text_of_the_token_stands_for_that_of_the_choice():
    got = chunks(piece(None, token(5, text="a")), piece(None, token(6, text="b"), "stop"))
    assert texts(got) == ["a", "b"]
    assert got[-1].generated_text == "ab"


def test_without_any_text_it_is_no_completion():
    assert read(piece(None, token(5)), piece(None, token(6), "stop"))[1] is MalformedStreamError


def test_alternatives_come_from_the_choice():
    logprobs = {"tokens": ["a"], "token_logprobs": [-1.25], "top_logprobs": [{"a": -1.25, "b": -3}]}
    [chunk] = chunks(
        piece("a", token(5), "length", choice={"logprobs": logprobs}), done(), top_n_tokens=2
    )
    assert chunk.token.id == 5
    assert [(top.text, top.logprob) for top in chunk.top_tokens] == [("a", -1.25), ("b", -3.0)]


@pytest.mark.parametrize("reason", ["eos", "length", "stop"])
def test_the_end_without_a_token(reason):
    got = chunks(piece("a", token(5)), piece("", None, reason), done())
    assert (texts(got), got[-1].generated_text) == (["a", ""], "a")
    assert got[-1].details.finish_reason == ("length" if reason == "length" else "eos_token")


def test_a_finish_reason_that_means_that_the_text_is_not_whole():
    got, error, _, text = read(piece("a", token(5)), piece("b", token(6), "abort"), done())
    assert (texts(got), error, text) == (["a", "b"], IncompleteGenerationError, "ab")


@pytest.mark.parametrize("wrong", ["a", 5, ["a"], {"id": "x", "special": "?", "logprob": []}])
def test_a_token_of_another_shape_is_left_out(wrong):
    got = chunks(piece("a", wrong), piece("b", wrong, "length", choice={"token": wrong}), done())
    assert (texts(got), got[-1].generated_text) == (["a", "b"], "ab")


def test_what_stands_beside_several_choices_is_of_none():
    choices = [{"index": index, "text": text} for index, text in enumerate("ax")]
    payload = {"choices": choices, "token": token(5, special=True), "finish_reason": "stop"}
    got, error, _, _ = read(event(payload), num_return_sequences=2)
    assert (texts(got), error) == (["a", "x"], IncompleteGenerationError)
