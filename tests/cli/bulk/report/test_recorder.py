"""What is noted of a run: the same size however long it is."""

import random
import tracemalloc

import pytest

from hfgen import HfgenError, InvalidRequestError
from hfgen._cli.bulk.report.recorder import Histogram, Recorder
from hfgen.types import BulkResult, Details, GeneratedText

ANSWER = GeneratedText(generated_text="x", details=Details(generated_tokens=5))


def good(latency=1.0, first=0.1):
    return BulkResult(
        index=0, row=None, answers=[ANSWER], latency=latency, time_to_first_token=first
    )


def bad(error):
    return BulkResult(index=0, row=None, error=error)


def test_what_happened_is_in_the_bin_of_its_time():
    recorder = Recorder()
    recorder.add(good(), 0.1)
    recorder.add(good(), 1.2)
    recorder.add(bad(InvalidRequestError("no prompt")), 1.2)
    bins = recorder.timeline.bins
    assert [bin_.rows for bin_ in bins] == [1, 0, 1]
    assert [bin_.tokens for bin_ in bins] == [5, 0, 5]
    assert bins[2].errors == {"InvalidRequestError": 1}
    assert recorder.seconds == 1.2


def test_bins_grow_wider_and_lose_nothing():
    recorder = Recorder()
    for second in range(100_000):
        recorder.add(good(), float(second))
        recorder.sample(float(second), in_flight=second % 7, limit=8, retries=second // 10)
    timeline = recorder.timeline
    assert 120 < len(timeline.bins) <= 240
    assert timeline.width * 240 > 99_999 >= timeline.width * 120
    whole = timeline.sum_bins()
    assert (whole.rows, whole.tokens, whole.retries) == (100_000, 500_000, 9_999)
    assert (whole.in_flight, whole.limit) == (6, 8)
    assert whole.latency.count == whole.time_to_first_token.count == 100_000


def test_the_state_holds_until_more_is_known():
    recorder = Recorder()
    recorder.sample(0.0, in_flight=9, limit=9, retries=0)
    recorder.sample(0.1, in_flight=3, limit=4, retries=0)
    recorder.sample(2.1, in_flight=1, limit=2, retries=0)
    assert [bin_.in_flight for bin_ in recorder.timeline.bins] == [9, 3, 3, 3, 3]
    assert [bin_.limit for bin_ in recorder.timeline.bins] == [9, 4, 4, 4, 4]
    recorder.sample(2.6, in_flight=1, limit=2, retries=0)
    assert recorder.timeline.bins[-1].in_flight == 1


def test_the_first_message_of_each_type_is_kept_in_short():
    recorder = Recorder()
    recorder.add(bad(InvalidRequestError("first\n" + "x" * 10_000)), 0)
    recorder.add(bad(InvalidRequestError("second")), 0)
    (message,) = recorder.messages.values()
    assert message.startswith("first x")
    assert len(message) == 300


def test_types_of_errors_without_end_are_put_together():
    recorder = Recorder()
    for number in range(100):
        recorder.add(bad(type(f"Error{number}", (HfgenError,), {})("no")), 0)
    assert sum(recorder.timeline.bins[0].errors.values()) == 100
    assert len(recorder.timeline.bins[0].errors) == 25
    assert len(recorder.messages) == 24


def test_memory_does_not_grow_with_the_rows():
    def measure_memory(rows):
        tracemalloc.start()
        try:
            recorder = Recorder()
            for number in range(rows):
                latency, first = 0.5 + number % 5, 0.1 + number % 3
                recorder.add(good(latency, first), number / 50)
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert measure_memory(16_000) < 1.5 * measure_memory(4_000)


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
    first, other = of(0.1, 0.2, 5.0), of(0.1, 9.0)
    first.merge(other)
    assert list(first.buckets()) == list(of(0.1, 0.2, 5.0, 0.1, 9.0).buckets())
    assert first.count == 5
