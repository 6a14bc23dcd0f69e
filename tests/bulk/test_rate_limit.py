"""The limits of requests and tokens a minute, with a clock of the test."""

import pytest

from hfgen import InvalidRequestError, RateLimit
from hfgen._bulk.rate_limit import Limiter

ROW = {"inputs": "four", "parameters": {"max_new_tokens": 9}}


def send_times(limiter, seconds, used=None):
    """Send each request as soon as it may go, and return their times."""
    now, times = 0.0, []
    while (at := limiter.ready_at(now)) <= seconds:
        if at > now:
            now = at
            continue
        limiter.settle(limiter.charge(ROW), used)
        times.append(now)
    return times


@pytest.mark.parametrize("per_minute", [1, 7, 60, 6000])
def test_requests_are_spread_evenly(per_minute):
    times = send_times(Limiter(RateLimit(requests_per_minute=per_minute)), 600)
    for minute in range(10):
        count = sum(minute * 60 <= at < minute * 60 + 60 for at in times)
        assert per_minute - 1 <= count <= per_minute * 1.002 + 1


def test_tokens_are_charged_as_answers_used_them():
    times = send_times(Limiter(RateLimit(tokens_per_minute=6000)), 600, used=100)
    assert len(times) == pytest.approx(600, rel=0.01)


def test_tokens_are_estimated_before_the_first_answer():
    limiter = Limiter(RateLimit(tokens_per_minute=60))
    assert limiter.charge(ROW) == 10
    assert Limiter(RateLimit(tokens_per_minute=60)).charge({"inputs": "four"}) > 100


def test_an_answer_below_the_estimate_gives_the_rest_back():
    limiter = Limiter(RateLimit(tokens_per_minute=60))
    limiter.ready_at(0.0)
    charged = limiter.charge(ROW)
    late = limiter.ready_at(0.0)
    limiter.settle(charged, 1)
    assert limiter.ready_at(0.0) == pytest.approx(late - 9)


def test_an_answer_without_counts_costs_the_estimate():
    limiter = Limiter(RateLimit(tokens_per_minute=60))
    limiter.ready_at(0.0)
    charged = limiter.charge(ROW)
    late = limiter.ready_at(0.0)
    limiter.settle(charged, None)
    assert limiter.ready_at(0.0) == late > 9


def test_both_limits_hold():
    limiter = Limiter(RateLimit(requests_per_minute=60, tokens_per_minute=60))
    assert len(send_times(limiter, 60, used=10)) == pytest.approx(6, abs=1)


def test_without_a_limit_requests_never_wait():
    limiter = Limiter(None)
    assert [limiter.ready_at(0.0) for _ in range(100) if limiter.charge(ROW) == 0.0] == [0.0] * 100


def test_time_without_requests_is_not_saved_up():
    limiter = Limiter(RateLimit(requests_per_minute=60))
    limiter.ready_at(0.0)
    limiter.ready_at(1000.0)
    limiter.charge(ROW)
    assert limiter.ready_at(1000.0) == pytest.approx(1001.0)


@pytest.mark.parametrize("value", [0, -1, True, "10", float("nan")])
@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
def test_values_that_are_no_rates_are_refused(name, value):
    with pytest.raises(InvalidRequestError, match=name):
        RateLimit(**{name: value})
