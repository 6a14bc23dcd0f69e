"""What is counted, how fast it goes, and how long it takes."""

from collections import Counter

import pytest

from hfgen import InvalidRequestError, ValidationError
from hfgen._cli.bulk.progress import summarize
from hfgen._cli.bulk.tally import Tally
from hfgen.types import BulkResult, Details, GeneratedText


def results(count, *, tokens=3, error=None):
    answer = GeneratedText(generated_text="x", details=Details(generated_tokens=tokens))
    answers = [] if error else [answer]
    return [BulkResult(index=0, row=None, answers=answers, error=error) for _ in range(count)]


def test_counts_rows_and_tokens_of_this_run_and_the_rows_of_earlier_ones():
    tally = Tally(100, done_before=20, errors_before=Counter({"ValidationError": 2}))
    tally.add(results(5))
    tally.add(results(2, error=InvalidRequestError("no prompt")))
    assert (tally.done, tally.ok, tally.failed, tally.tokens) == (27, 5, 2, 15)
    assert tally.all_errors == {"ValidationError": 2, "InvalidRequestError": 2}
    assert tally.messages == {"InvalidRequestError": "no prompt"}
    tally.add(results(1, error=ValidationError("too\n\x1b[31mlong " + "x" * 400, status=422)))
    first, *examples, _ = summarize(tally, 1.0, 0)
    assert first.endswith("5 with an error (ValidationError 3, InvalidRequestError 2)")
    assert examples[0] == "InvalidRequestError, for example: no prompt"
    assert examples[1].startswith("ValidationError, for example: too [31mlong xxx")
    assert examples[1].endswith("x…")
    assert len(examples[1]) < 340


def test_tokens_that_are_not_reported_count_as_none():
    tally = Tally()
    tally.add(results(2, tokens=None))
    assert (tally.ok, tally.tokens) == (2, 0)


def test_speed_is_that_of_late():
    tally = Tally(100_000)
    assert tally.measure_speed(0.0) == (0.0, 0.0)
    for second in range(1, 101):
        tally.add(results(10 if second <= 60 else 40))
        rows, tokens = tally.measure_speed(float(second))
    assert (rows, tokens) == (40, 120)
    assert tally.estimate_seconds_left(rows) == pytest.approx((100_000 - 2200) / 40)


def test_rows_that_are_long_in_coming_count_further_back():
    # One a minute: the last few seconds would show none at all.
    tally = Tally(1000)
    tally.measure_speed(0.0)
    for minute in range(1, 60):
        tally.add(results(1))
        tally.measure_speed(minute * 60.0)
    rows, _ = tally.measure_speed(59 * 60.0 + 30)
    assert rows == pytest.approx(1 / 60, rel=0.02)


def test_no_more_is_kept_than_is_needed():
    tally = Tally()
    for tick in range(20_000):
        tally.add(results(1 if tick % 2 else 0))
        tally.measure_speed(tick / 2)
    assert len(tally._marks) < 100


@pytest.mark.parametrize(
    ("total", "done", "speed", "seconds"),
    [(None, 5, 1.0, None), (10, 5, 0.0, None), (10, 5, 2.0, 2.5), (10, 10, 0.0, 0.0)],
)
def test_time_left(total, done, speed, seconds):
    assert Tally(total, done).estimate_seconds_left(speed) == seconds
