"""The arguments that have a syntax of their own."""

import argparse

import pytest

from hfgen import RateLimit
from hfgen._cli.bulk.arguments import parse_concurrency, parse_rate_limit


@pytest.mark.parametrize(
    ("text", "means"), [("1", 1), ("64", 64), ("1..256", (1, 256)), ("8..8", (8, 8))]
)
def test_concurrency(text, means):
    assert parse_concurrency(text) == means


@pytest.mark.parametrize("text", ["", "0", "0..4", "8..4", "..4", "4..", "-1", "1.5", "1-4", "x"])
def test_no_concurrency(text):
    with pytest.raises(argparse.ArgumentTypeError, match="neither a number"):
        parse_concurrency(text)


@pytest.mark.parametrize(
    ("text", "requests", "tokens"),
    [
        ("600rpm", 600, None),
        ("90000tpm", None, 90_000),
        ("0.5rpm,90000tpm", 0.5, 90_000),
        ("90000tpm, 600rpm", 600, 90_000),
    ],
)
def test_rate_limit(text, requests, tokens):
    assert parse_rate_limit(text) == RateLimit(
        requests_per_minute=requests, tokens_per_minute=tokens
    )


@pytest.mark.parametrize(
    "text", ["", "600", "rpm", "0rpm", "-1rpm", "600rps", "600rpm,", "1rpm,2rpm"]
)
def test_no_rate_limit(text):
    with pytest.raises(argparse.ArgumentTypeError, match="not a rate such as"):
        parse_rate_limit(text)
