from __future__ import annotations

import random
from itertools import pairwise

import pytest

from hfgen.server.engine.batched_job import StoppingCriteria


@pytest.fixture
def check(job):
    """The reasons to end after each of some tokens, (id, text), and the texts that are kept."""

    def check(tokens, *, input_ids=(1, 2), eos=frozenset({0}), max_positions=100, **options):
        stopping = StoppingCriteria(job(*input_ids, **options), eos, max_positions)
        checked = [stopping.check(*token) for token in tokens]
        return [reason for reason, _ in checked], [text for _, text in checked]

    return check


@pytest.fixture
def reasons(check):
    return lambda *args, **kwargs: check(*args, **kwargs)[0]


def test_length_comes_before_all_others(reasons):
    tokens = [(5, "a"), (0, "stop")]
    assert reasons(tokens, max_new_tokens=2, stop=("stop",)) == [None, "length"]
    assert reasons(tokens, max_new_tokens=3, stop=("stop",)) == [None, "eos_token"]


def test_any_of_several_end_tokens(reasons):
    assert reasons([(5, "a"), (9, "b")], eos=frozenset({8, 9})) == [None, "eos_token"]
    assert reasons([(0, "a"), (9, "b")], eos=frozenset()) == [None, None]


def test_a_full_context_is_a_length(reasons):
    tokens = [(5, "a")] * 3
    assert reasons(tokens, input_ids=range(7), max_positions=10) == [None, None, "length"]
    assert reasons([(5, "a")], input_ids=range(10), max_positions=10) == ["length"]


@pytest.mark.parametrize(
    ("stop", "pieces", "kept"),
    [
        ("fox", ["the ", "fox"], "fox"),
        ("fox", ["f", "", "o", "x"], "x"),
        ("fox", ["fo", "xes"], "x"),
        ("fox", ["a foxes"], "a fox"),
        ("fox", ["foxes fox"], "fox"),
        ("fox", ["fox\n"], "fox"),
        ("fox", ["fo", "fo", "x"], "x"),
        ("a.c", ["abc"], None),  # a stop string is no pattern
        ("\n\n", ["end.\n", "\n"], "\n"),
        ("\n\n", ["end.\n\n\n"], "end.\n\n"),
        ("aab", ["a", "a", "a", "bb"], "b"),
        ("x" * 500, ["x" * 100] * 5, "x" * 100),
        ("🦊", ["a", "", "", "🦊🌙"], "🦊"),
        ("x", ["ax"], "ax"),
    ],
)
def test_stop_strings(check, stop, pieces, kept):
    tokens = [(5, piece) for piece in pieces]
    reasons, texts = check(tokens, stop=("never", stop), max_new_tokens=100)
    assert reasons == [None] * (len(pieces) - 1) + ["stop_sequence" if kept else None]
    assert texts == [*pieces[:-1], kept or pieces[-1]]


def test_of_two_stop_strings_the_one_that_ends_first_counts(check):
    assert check([(5, "abcdef")], stop=("bcde", "cd", "f")) == (["stop_sequence"], ["abcd"])


def test_the_text_behind_a_stop_string_is_cut_whatever_the_reason(check):
    assert check([(5, "foxes")], stop=("fox",), max_new_tokens=1) == (["length"], ["fox"])


@pytest.mark.parametrize("seed", range(50))
def test_stop_strings_do_not_depend_on_the_tokens(check, seed):
    rng = random.Random(seed)
    text = "".join(rng.choices("ab", k=40))
    stop = tuple("".join(rng.choices("ab", k=rng.randint(1, 6))) for _ in range(3))
    end = min((text.find(s) + len(s) for s in stop if s in text), default=None)
    borders = sorted({0, len(text), *rng.sample(range(41), 12)})
    pieces = [(5, text[start:stop]) for start, stop in pairwise(borders)]
    reasons, texts = check(pieces, stop=stop, max_new_tokens=100)
    if end is None:
        assert not any(reasons)
    else:
        ended = reasons.index("stop_sequence")
        assert "".join(texts[: ended + 1]) == text[:end]


def test_the_tail_kept_for_stop_strings_is_short(job):
    stopping = StoppingCriteria(job(1, max_new_tokens=10**6, stop=("abc",)), frozenset(), 10**6)
    for _ in range(1000):
        stopping.check(5, "ab")
    assert stopping._tail == "ab"
