"""The policy of trying again: pure."""

import pytest

import hfgen
from hfgen._retry import DEFAULT_MAX_RETRIES, Retry

REFUSED = hfgen.ConnectError("refused")


def answered(status, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return hfgen.StatusError("no", status=status, headers=headers)


def test_by_default_twice():
    waits = [Retry().wait(retries, REFUSED) is not None for retries in range(4)]
    assert waits == [True, True, False, False]
    assert DEFAULT_MAX_RETRIES == 2


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_statuses_that_pass(status):
    assert Retry().wait(0, answered(status)) is not None


@pytest.mark.parametrize(
    "status", [301, 400, 401, 402, 403, 404, 409, 410, 413, 422, 424, 500, 501]
)
def test_statuses_that_stay(status):
    assert Retry().wait(0, answered(status)) is None
    assert Retry().wait(0, answered(status, retry_after="1")) is None


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (REFUSED, True),
        (hfgen.TimeoutError("slow", phase="connect"), True),
        (hfgen.TimeoutError("slow", phase="read"), False),
        (hfgen.AbortError("enough"), False),
        (hfgen.InvalidRequestError("wrong"), False),
        (hfgen.IncompleteGenerationError("part"), False),
        (hfgen.MalformedAnswerError("what"), False),
        (hfgen.ModelLoadingError("loading", status=503, estimated_time=20.0), True),
        (hfgen.OverloadedError("full", status=429), True),
        (hfgen.HfgenError("closed"), False),
    ],
)
def test_errors(error, passes):
    assert (Retry().wait(0, error) is not None) is passes


def test_none_at_all():
    assert Retry(max_retries=0).wait(0, REFUSED) is None


def test_the_range_doubles_up_to_a_bound():
    retry = Retry(max_retries=99, backoff=0.5, max_wait=30.0)
    waits = [retry.wait(retries, REFUSED, draw=lambda: 1.0) for retries in range(9)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_it_does_not_overflow():
    retry = Retry(max_retries=10**9)
    assert retry.wait(10**6, REFUSED, draw=lambda: 1.0) == retry.max_wait


def test_waits_are_drawn_from_the_whole_range():
    retry = Retry(max_retries=9)
    assert retry.wait(2, REFUSED, draw=lambda: 0.0) == 0.0
    assert retry.wait(2, REFUSED, draw=lambda: 0.5) == 1.0
    assert len({retry.wait(5, REFUSED) for _ in range(50)}) > 10


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("0.25", 0.25),
        ("30", 30.0),
        ("31", None),
        ("1e9", None),
        ("inf", None),
    ],
)
def test_the_server_says_how_long(asked, wait):
    assert Retry().wait(0, answered(429, retry_after=asked)) == wait


@pytest.mark.parametrize("asked", ["soon", "Wed, 21 Oct 2015 07:28:00 GMT", ""])
def test_what_cannot_be_read_is_not_kept(asked):
    wait = Retry().wait(0, answered(429, retry_after=asked), draw=lambda: 1.0)
    assert wait == 0.5
