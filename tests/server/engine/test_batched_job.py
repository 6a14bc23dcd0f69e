from __future__ import annotations

import pytest

from hfgen.server.engine.batched_job import StoppingCriteria


@pytest.fixture
def reasons(job):
    """The reasons that a job gives after each of some tokens, (id, text)."""

    def check(tokens, *, input_ids=(1, 2), eos=frozenset({0}), max_positions=100, **options):
        stopping = StoppingCriteria(job(*input_ids, **options), eos, max_positions)
        return [stopping.check(*token) for token in tokens]

    return check


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
    ("stop", "pieces", "stops"),
    [
        ("fox", ["the ", "fox"], True),
        ("fox", ["f", "", "o", "x"], True),
        ("fox", ["fo", "xes"], False),  # only at the end of a token
        ("fox", ["foxes", " fox"], True),
        ("fox", ["fox\n"], True),  # TGI's `$` matches before a last line feed
        ("fox", ["fox\n\n"], False),
        ("a.c", ["abc"], False),  # a stop string is no pattern
        ("\n\n", ["end.\n", "\n"], True),
        ("x" * 500, ["x" * 100] * 5, True),
        ("", [""], True),
    ],
)
def test_stop_strings(reasons, stop, pieces, stops):
    found = reasons([(5, p) for p in pieces], stop=("never", stop), max_new_tokens=100)
    assert found == [None] * (len(pieces) - 1) + ["stop_sequence" if stops else None]


def test_the_tail_kept_for_stop_strings_is_short(job):
    stopping = StoppingCriteria(job(1, max_new_tokens=10**6, stop=("abc",)), frozenset(), 10**6)
    for _ in range(1000):
        stopping.check(5, "ab")
    assert len(stopping._tail) == 4
