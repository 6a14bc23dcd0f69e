"""`Retry`: which errors are tried again, and after which wait."""

import math
import threading
import time

import pytest

import hfgen
from hfgen import Retry

REFUSED = hfgen.ConnectError("refused")


def status_error(status, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return hfgen.StatusError("no", status=status, headers=headers, received=time.time())


def test_two_retries_by_default():
    waits = [Retry().wait(retries, REFUSED) is not None for retries in range(4)]
    assert waits == [True, True, False, False]


def test_a_backoff_without_a_limit_is_a_time_that_can_be_waited():
    retry = Retry(backoff=math.inf, max_backoff=math.inf)
    for draw in (0.0, 0.5, 0.999):
        wait = retry.wait(0, REFUSED, draw=lambda: draw)  # noqa: B023 - called at once
        assert 0 <= wait <= 1e6
        time.localtime(time.time() + wait)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 502, 503, 504, 529])
def test_transient_statuses(status):
    assert Retry().wait(0, status_error(status)) is not None


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 410, 413, 422, 424, 500, 501])
def test_lasting_statuses(status):
    assert Retry().wait(0, status_error(status)) is None
    assert Retry().wait(0, status_error(status, retry_after="1")) is None


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (REFUSED, True),
        (hfgen.TimeoutError("slow", phase="connect"), True),
        (hfgen.TimeoutError("slow", phase="read"), False),
        (hfgen.AbortError("enough"), False),
        (hfgen.InvalidRequestError("wrong"), False),
        (hfgen.IncompleteGenerationError("nothing"), True),
        (hfgen.IncompleteGenerationError("part", text="part"), False),
        (hfgen.ContentFilterError("nothing"), False),
        (hfgen.OverloadedError("too busy", status=500), True),
        (hfgen.OverloadedError("full", status=429, text="part"), False),
        (hfgen.TimeoutError("slow", phase="first_token"), False),
        (hfgen.TimeoutError("slow", phase="total"), False),
        (hfgen.MalformedAnswerError("what"), False),
        (hfgen.ModelLoadingError("loading", status=503, estimated_time=20.0), True),
        (hfgen.OverloadedError("full", status=429), True),
        (hfgen.HfgenError("closed"), False),
    ],
)
def test_errors(error, passes):
    assert (Retry().wait(0, error) is not None) is passes


def test_no_retries():
    assert Retry(max_retries=0).wait(0, REFUSED) is None


def test_the_range_doubles_up_to_a_bound():
    retry = Retry(max_retries=99, backoff=0.5, max_backoff=30.0)
    waits = [retry.wait(retries, REFUSED, draw=lambda: 1.0) for retries in range(9)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_it_does_not_overflow():
    retry = Retry(max_retries=10**9)
    assert retry.wait(10**6, REFUSED, draw=lambda: 1.0) == retry.max_backoff


def test_waits_are_drawn_from_the_whole_range():
    retry = Retry(max_retries=9)
    assert retry.wait(2, REFUSED, draw=lambda: 0.0) == 0.0
    assert retry.wait(2, REFUSED, draw=lambda: 0.5) == 1.0
    assert len({retry.wait(5, REFUSED) for _ in range(50)}) > 10


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("0.25", 0.25),
        ("60", 60.0),
        ("61", None),
        ("1e9", None),
        ("inf", None),
    ],
)
def test_the_wait_that_the_server_requests(retry_after, wait):
    assert Retry().wait(0, status_error(429, retry_after=retry_after)) == wait


@pytest.mark.parametrize(
    "retry_after", ["inf", "1e308", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"]
)
def test_no_wait_is_longer_than_a_platform_can_wait(retry_after):
    error = status_error(429, retry_after=retry_after, ratelimit=f'"api";r=0;t={retry_after}')
    assert Retry(max_wait=math.inf).wait(0, error) <= threading.TIMEOUT_MAX
    loading = hfgen.ModelLoadingError("loading", status=503, headers=error.headers)
    assert Retry(wait_for_model=math.inf).wait(0, loading) <= threading.TIMEOUT_MAX


@pytest.mark.parametrize("retry_after", ["soon", "Wed, 21 Oct", ""])
def test_an_invalid_retry_after_is_ignored(retry_after):
    wait = Retry().wait(0, status_error(429, retry_after=retry_after), draw=lambda: 1.0)
    assert wait == 0.5


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        (
            {
                "retry_after": "Wed, 21 Oct 2015 07:28:30 GMT",
                "date": "Wed, 21 Oct 2015 07:28:00 GMT",
            },
            30.0,
        ),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0.0),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"ratelimit": '"api";r=3;t=55'}, None),
        ({"ratelimit": "nonsense"}, None),
        ({}, None),
    ],
)
def test_headers_that_request_a_wait(headers, seconds):
    assert status_error(429, **headers).retry_after == seconds


class TestWaitForModel:
    LOADING = hfgen.ModelLoadingError("loading", status=503, estimated_time=4.0)

    def test_it_counts_for_no_other_limit(self):
        retry = Retry(max_retries=0, wait_for_model=60.0)
        assert [retry.wait(0, self.LOADING, elapsed) for elapsed in (0.0, 30.0, 60.0, 61.0)] == [
            4.0, 4.0, None, None
        ]  # fmt: skip

    def test_never_longer_than_wait_for_model(self):
        assert Retry(wait_for_model=60.0).wait(0, self.LOADING, 58.5) == 1.5

    @pytest.mark.parametrize(("guess", "wait"), [(None, 1.0), (0.1, 1.0), (300.9, 10.0)])
    def test_between_one_and_ten_seconds(self, guess, wait):
        error = hfgen.ModelLoadingError("loading", status=503, estimated_time=guess)
        assert Retry(wait_for_model=600.0).wait(0, error, 0.0) == wait

    def test_other_errors_count_as_retries(self):
        assert Retry(max_retries=0, wait_for_model=60.0).wait(0, REFUSED, 0.0) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_retries": -1}, {"max_retries": 1.5}, {"max_retries": True}, {"backoff": -1.0},
        {"max_wait": "1"}, {"max_backoff": float("nan")}, {"wait_for_model": None},
    ],
)  # fmt: skip
def test_invalid_values_are_refused_by_name(wrong):
    with pytest.raises(hfgen.InvalidRequestError, match=next(iter(wrong))):
        Retry(**wrong)
