"""`Resumption`: requests for the rest of a stream, and its chunks."""

import pytest

from hfgen import ConnectError, IncompleteGenerationError, ServerError, TimeoutError  # noqa: A004
from hfgen._core.resume import Resumption
from hfgen.types import Chunk, StreamDetails, Token

BROKE = IncompleteGenerationError("broke", text="…")


def chunk(text, *, index=1, special=False, last=None, details=None):
    token = Token(id=1, text=text, logprob=-1.0, special=special)
    return Chunk(index=index, token=token, generated_text=last, details=details)


def break_after(texts, **parameters):
    resumption = Resumption({"inputs": "Once", "parameters": parameters})
    for index, text in enumerate(texts, start=1):
        resumption.take_chunk(chunk(text, index=index))
    return resumption


def test_the_request_for_the_rest():
    resumption = break_after([" upon", " a"], max_new_tokens=10, stop=["\n"], seed=4)
    assert resumption.make_request(BROKE) == {
        "inputs": "Once upon a",
        "parameters": {"max_new_tokens": 8, "stop": ["\n"], "seed": 4},
    }


def test_a_request_without_parameters():
    resumption = Resumption({"inputs": "Once", "model": "m"})
    resumption.take_chunk(chunk(" upon"))
    rest = resumption.make_request(BROKE)
    assert rest == {"inputs": "Once upon", "model": "m", "parameters": {}}


def test_chunks_before_the_break_are_unchanged():
    first = chunk("a")
    assert break_after([]).take_chunk(first) is first


def test_chunks_after_the_break_continue():
    resumption = break_after([" upon", " a"])
    resumption.make_request(BROKE)
    second = resumption.take_chunk(chunk(" time", index=1))
    assert (second.index, second.resumed, second.token.text) == (3, True, " time")
    details = StreamDetails(finish_reason="length", generated_tokens=2, input_length=9, seed=7)
    last = resumption.take_chunk(chunk(".", index=2, last=" time.", details=details))
    assert last.generated_text == " upon a time."
    assert last.details == StreamDetails(
        finish_reason="length", generated_tokens=4, input_length=7, seed=7
    )
    assert last.to_dict()["index"] == 4


def test_a_server_that_returns_the_prompt():
    resumption = break_after([" upon"])
    resumption.make_request(BROKE)
    last = resumption.take_chunk(chunk(" a", last="Once upon a"))
    assert last.generated_text == "Once upon a"


def test_a_second_break():
    resumption = break_after([" upon"], max_new_tokens=5)
    resumption.make_request(BROKE)
    resumption.take_chunk(chunk(" a"))
    assert resumption.make_request(BROKE) == {
        "inputs": "Once upon a",
        "parameters": {"max_new_tokens": 3},
    }
    last = resumption.take_chunk(chunk(" time", last=" time"))
    assert (last.index, last.generated_text) == (3, " upon a time")


@pytest.mark.parametrize(
    "parameters",
    [
        {"grammar": {"type": "regex", "value": "a"}}, {"best_of": 2}, {"n": 2}, {"truncate": 5},
        {"watermark": True}, {"stop": ["a time"]}, {"stop": ["x", " a."]}, {"stop": ["a"]},
        {"stop": ["upon"]}, {"stop": [" upon a"]}, {"max_new_tokens": 2},
    ],
)  # fmt: skip
def test_no_rest_if_it_would_not_be_exact(parameters):
    assert break_after([" upon", " a"], **parameters).make_request(BROKE) is None


def test_no_rest_after_a_special_token():
    resumption = break_after([" upon"])
    resumption.take_chunk(chunk("<eos>", special=True))
    assert resumption.make_request(BROKE) is None


@pytest.mark.parametrize("kind", ["incomplete_generation", "incomplete_generation_stream"])
def test_errors_that_are_breaks(kind):
    error = ServerError("no", status=500, error_type=kind)
    assert break_after([" upon"]).make_request(error) is not None


@pytest.mark.parametrize(
    "error",
    [
        ServerError("no", status=500, error_type="generation"),
        TimeoutError("slow", phase="between_tokens"),
        ConnectError("before any token"),
    ],
)
def test_errors_that_are_no_breaks(error):
    assert break_after([" upon"]).make_request(error) is None
