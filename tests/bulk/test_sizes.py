"""The estimate of how much memory a value takes."""

import threading
from dataclasses import dataclass

import msgspec
import pytest

from hfgen._bulk.sizes import measure_answers, measure_bytes
from hfgen.types import GeneratedText

LONG = "x" * 1_000_000


@dataclass
class Record:
    text: str


class Struct(msgspec.Struct):
    text: str


@pytest.mark.parametrize(
    "value",
    [LONG, LONG.encode(), {"a": {"b": LONG}}, ["a", (LONG,)], Record(LONG), Struct(LONG),
     Struct({"column": msgspec.Raw(LONG.encode())})],
)  # fmt: skip
def test_the_text_that_a_value_holds_is_counted(value):
    assert 1_000_000 < measure_bytes(value) < 1_002_000


def test_an_object_that_occurs_twice_counts_once():
    assert measure_bytes({"inputs": LONG}, {"inputs": LONG}) < 1_002_000


def test_a_value_that_holds_itself_or_very_much_is_measured_in_part():
    itself = {}
    itself["itself"] = [itself]
    assert measure_bytes(itself) < 1000
    assert measure_bytes([float(n) for n in range(1_000_000)]) > 8_000_000


def test_any_object_can_be_measured():
    for value in (None, object(), threading.Lock(), Record, Struct, lambda: 0, 1.5):
        assert measure_bytes(value) > 0


@pytest.mark.parametrize("text", ["", LONG])
def test_answers_are_measured_with_their_tokens(text):
    token = {"id": 1, "text": "a", "logprob": -1.0, "special": False}
    details = {"finish_reason": "length", "generated_tokens": 1000, "tokens": [token] * 1000}
    answers = msgspec.convert(
        [{"generated_text": text, "details": details}, {"generated_text": ""}], list[GeneratedText]
    )
    size = measure_answers(answers)
    assert len(text) + 100_000 < size < len(text) + 500_000
    assert measure_answers([]) == 0
