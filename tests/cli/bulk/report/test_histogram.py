"""Durations, counted."""

import random

import pytest

from hfgen._cli.bulk.report.histogram import Histogram


def of(*durations):
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    return histogram


def test_nothing():
    histogram = Histogram()
    assert (histogram.count, histogram.quantile(0.5), list(histogram.buckets())) == (0, None, [])


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 0.99])
def test_quantiles_are_close(share):
    chance = random.Random(7)
    durations = sorted(chance.lognormvariate(0, 1.5) for _ in range(5000))
    exact = durations[int(share * len(durations))]
    assert of(*durations).quantile(share) == pytest.approx(exact, rel=0.05)


def test_a_quantile_of_one():
    assert of(3.0).quantile(0.0) == of(3.0).quantile(1.0) == pytest.approx(3.0, rel=0.04)


def test_every_duration_is_in_its_bucket():
    for duration in (0.0002, 0.1, 1.0, 59.9, 86_400.0):
        ((lower, upper, count),) = of(duration).buckets()
        assert lower <= duration < upper
        assert count == 1


def test_its_size_is_bounded_whatever_comes():
    chance = random.Random(7)
    histogram = of(*(10 ** chance.uniform(-12, 12) for _ in range(20_000)), 0.0, -1.0)
    assert len(list(histogram.buckets())) <= 300
    assert sum(count for *_, count in histogram.buckets()) == histogram.count == 20_002


def test_merged_is_as_if_counted_by_one():
    one, other = of(0.1, 0.2, 5.0), of(0.1, 9.0)
    one.merge(other)
    assert list(one.buckets()) == list(of(0.1, 0.2, 5.0, 0.1, 9.0).buckets())
    assert one.count == 5
