"""Times and numbers as people read them."""

import pytest

from hfgen._cli.units import format_duration, format_number


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00821, "8.21 ms"),
        (0.9999, "1 s"),
        (4.354, "4.35 s"),
        (59.99, "1 min 0 s"),
        (60, "1 min 0 s"),
        (725.9, "12 min 6 s"),
        (3_599.9, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (93_600, "1 d 2 h"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (3, "3"), (3.04, "3.0"), (99.94, "99.9"), (123.4, "123"), (1_234_567, "1,234,567")],
)
def test_numbers(value, text):
    assert format_number(value) == text
