"""The limits of requests and tokens a minute, with a clock of the test."""

from collections import deque

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
        limiter.settle(limiter.charge(ROW), ROW, None if used is None else 1, used)
        times.append(now)
    return times


@pytest.mark.parametrize("per_minute", [1, 7, 60, 6000])
def test_requests_are_spread_evenly(per_minute):
    times = send_times(Limiter(RateLimit(requests_per_minute=per_minute)), 600)
    for minute in range(10):
        count = sum(minute * 60 <= at < minute * 60 + 60 for at in times)
        assert per_minute - 1 <= count <= per_minute * 1.002 + 1


def test_tokens_are_charged_as_answers_used_them():
    times = send_times(Limiter(RateLimit(tokens_per_minute=6000)), 600, used=99)
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
    limiter.settle(charged, ROW, 1, 0)
    assert limiter.ready_at(0.0) == pytest.approx(late - 9)


def test_an_answer_without_counts_costs_the_estimate():
    limiter = Limiter(RateLimit(tokens_per_minute=60))
    limiter.ready_at(0.0)
    charged = limiter.charge(ROW)
    late = limiter.ready_at(0.0)
    limiter.settle(charged, ROW, None, None)
    assert limiter.ready_at(0.0) == late > 9


def test_both_limits_hold():
    limiter = Limiter(RateLimit(requests_per_minute=60, tokens_per_minute=60))
    assert len(send_times(limiter, 60, used=9)) == pytest.approx(6, abs=1)


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


def request(most=None, prompt="four", **parameters):
    given = {} if most is None else {"max_new_tokens": most}
    return {"inputs": prompt, "parameters": given | parameters}


def test_a_request_counts_with_what_it_may_use():
    limiter = Limiter(RateLimit(tokens_per_minute=60))
    assert limiter.charge(request(100)) == 101
    assert limiter.charge(request(100, num_return_sequences=3)) == 301
    # However short earlier answers were.
    limiter.settle(0, ROW, 1, 5)
    assert limiter.charge(request(100)) == 101


def test_a_request_without_a_limit_counts_as_the_longest_recent_answer():
    limiter = Limiter(RateLimit(tokens_per_minute=60))
    for tokens, estimate in [(10, 10), (500, 500), (10, 451)]:
        limiter.settle(0, ROW, 1, tokens)
        assert limiter.charge(request()) == pytest.approx(1 + estimate)


def test_the_tokens_of_a_prompt_are_learned():
    limiter = Limiter(RateLimit(tokens_per_minute=60))
    limiter.settle(0, request(1, "four"), 8, 1)
    assert limiter.charge(request(1, "x" * 100)) == 201


@pytest.mark.parametrize(("most", "seconds"), [(2000, 0.5), (2000, 20.0), (None, 0.5)])
def test_the_limit_holds_when_answers_get_longer(most, seconds):
    """Up to 256 requests at once; after three minutes, answers have 2000 tokens and not 10."""
    limiter = Limiter(RateLimit(tokens_per_minute=6000))
    now, ends, used = 0.0, deque(), []
    while now < 900:
        while ends and ends[0][0] <= now:
            _, charged, tokens = ends.popleft()
            limiter.settle(charged, request(most), 1, tokens)
            used.append((now, tokens + 1))
        if len(ends) < 256 and limiter.ready_at(now) <= now:
            tokens = 10 if now < 180 else 2000
            ends.append((now + seconds, limiter.charge(request(most)), tokens))
            continue
        now += 0.01
    minutes = [sum(n for at, n in used if start <= at < start + 60) for start in range(0, 840, 10)]
    # Without `max_new_tokens`, what was under way when answers got longer is too much.
    settled = minutes if most is not None else minutes[-30:]
    # One request may go as soon as the bucket is not empty, and they end less evenly than they go.
    assert max(settled) <= 6000 + 2 * 2001
    assert sum(n for at, n in used if at >= 540) / 6 >= 0.8 * 6000
