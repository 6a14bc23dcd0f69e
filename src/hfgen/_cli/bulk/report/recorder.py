"""Records a run for the page that is written at its end. The size of the record is bounded.

`Recorder` adds each result and sample to a `Timeline`: at most 240 bins of time, which grow wider
as the run grows longer. A `Bin` keeps counts, and a `Histogram` of durations.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hfgen._bulk.results import BulkResult

# Characters of an error message that are kept.
_MAX_MESSAGE = 300
# As many bins as a plot can show. Even, so that bins can be merged in pairs.
_MAX_BINS = 240
# Seconds that a bin spans at first.
_FIRST_WIDTH = 0.5
# Types of errors that are counted by name; further ones are counted under `_OTHERS`.
_MAX_NAMES = 24
_OTHERS = "others"
# Each bucket is wider than the one before by this factor; a quantile is off by half a bucket.
_GROWTH = 1.08
_LOG_GROWTH = math.log(_GROWTH)
# Durations are counted within these bounds, in seconds: this gives 300 buckets at most.
_MIN_SECONDS = 1e-4
_MAX_SECONDS = 1e6


class Recorder:
    """Records results, and samples of the run's state.

    Attributes:
        timeline: What has happened, in bins of time.
        messages: The message of the first error of each type.
        seconds: The time of the last record, in seconds from the start of the run.
    """

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.messages: dict[str, str] = {}
        self.seconds = 0.0
        self._retries = 0

    def add(self, result: BulkResult[Any], seconds: float) -> None:
        """Record a finished row.

        Args:
            result: The row's result.
            seconds: The time, in seconds from the start of the run.
        """
        self.seconds = max(self.seconds, seconds)
        bin_ = self.timeline.bin_at(seconds)
        if result.error is not None:
            name = type(result.error).__name__
            bin_.add_errors({name: 1})
            if len(self.messages) < _MAX_NAMES:
                message = " ".join(result.error.message.split())
                self.messages.setdefault(name, message[:_MAX_MESSAGE])
            return
        bin_.rows += 1
        bin_.tokens += result.generated_tokens or 0
        if result.latency is not None:
            bin_.latency.add(result.latency)
        if result.time_to_first_token is not None:
            bin_.time_to_first_token.add(result.time_to_first_token)

    def sample(self, seconds: float, *, in_flight: int, limit: int, retries: int) -> None:
        """Record the state of the run.

        Args:
            seconds: The time, in seconds from the start of the run.
            in_flight: How many requests are under way.
            limit: How many requests may be under way.
            retries: How many attempts were retries, since the start of the run.
        """
        self.seconds = max(self.seconds, seconds)
        bin_ = self.timeline.bin_at(seconds)
        bin_.in_flight = max(bin_.in_flight, in_flight)
        bin_.limit = max(bin_.limit, limit)
        bin_.retries += retries - self._retries
        self._retries = retries
        self.timeline.in_flight, self.timeline.limit = in_flight, limit


class Bin:
    """What happened in a span of time.

    Attributes:
        rows: How many rows got their text.
        tokens: How many tokens these texts have.
        latency: How long the last attempts of these rows took.
        time_to_first_token: How long these attempts took until the first token.
        errors: How many rows ended in an error, by the error's type.
        retries: How many attempts were retries.
        in_flight: The most requests under way at once, in any sample.
        limit: The most requests allowed at once, in any sample.
    """

    __slots__ = (
        "errors",
        "in_flight",
        "latency",
        "limit",
        "retries",
        "rows",
        "time_to_first_token",
        "tokens",
    )

    def __init__(self, in_flight: int = 0, limit: int = 0) -> None:
        self.rows = 0
        self.tokens = 0
        self.latency = Histogram()
        self.time_to_first_token = Histogram()
        self.errors: dict[str, int] = {}
        self.retries = 0
        self.in_flight = in_flight
        self.limit = limit

    def add_errors(self, errors: Mapping[str, int]) -> None:
        """Count rows that ended in errors, by type."""
        for name, count in errors.items():
            has_room = name in self.errors or len(self.errors) < _MAX_NAMES
            key = name if has_room else _OTHERS
            self.errors[key] = self.errors.get(key, 0) + count

    def merge(self, other: Bin) -> None:
        """Add the counts of another bin."""
        self.rows += other.rows
        self.tokens += other.tokens
        self.latency.merge(other.latency)
        self.time_to_first_token.merge(other.time_to_first_token)
        self.add_errors(other.errors)
        self.retries += other.retries
        self.in_flight = max(self.in_flight, other.in_flight)
        self.limit = max(self.limit, other.limit)


class Timeline:
    """Bins of equal width, from the start of the run on.

    Attributes:
        width: Seconds that each bin spans.
        bins: The bins, at most 240, up to the last one in which something happened.
        in_flight: How many requests were under way in the last sample. New bins begin with this.
        limit: How many requests were allowed in the last sample. New bins begin with this.
    """

    def __init__(self) -> None:
        self.width = _FIRST_WIDTH
        self.bins: list[Bin] = []
        self.in_flight = 0
        self.limit = 0

    def bin_at(self, seconds: float) -> Bin:
        """Return the bin for a time, in seconds from the start."""
        while seconds >= self.width * _MAX_BINS:
            self._widen()
        index = int(seconds / self.width)
        while len(self.bins) <= index:
            self.bins.append(Bin(self.in_flight, self.limit))
        return self.bins[index]

    def sum_bins(self) -> Bin:
        """Return one bin with the counts of all."""
        total = Bin()
        for bin_ in self.bins:
            total.merge(bin_)
        return total

    def _widen(self) -> None:
        for even, odd in zip(self.bins[::2], self.bins[1::2], strict=False):
            even.merge(odd)
        del self.bins[1::2]
        self.width *= 2


class Histogram:
    """Counts durations in buckets whose width grows with the duration.

    Attributes:
        count: How many durations there are.
        total: Their sum, in seconds.
    """

    __slots__ = ("_buckets", "count", "total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        index = math.floor(math.log(min(max(seconds, _MIN_SECONDS), _MAX_SECONDS)) / _LOG_GROWTH)
        self._buckets[index] = self._buckets.get(index, 0) + 1
        self.count += 1
        self.total += seconds

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram."""
        for index, count in other._buckets.items():
            self._buckets[index] = self._buckets.get(index, 0) + count
        self.count += other.count
        self.total += other.total

    def quantile(self, share: float) -> float | None:
        """Return the duration that this share of all durations does not exceed.

        None if the histogram is empty.

        Args:
            share: From 0 to 1; 0.5 gives the median.
        """
        rank = share * self.count
        count_so_far = 0
        for lower, upper, count in self.buckets():
            count_so_far += count
            if count_so_far >= rank:
                return math.sqrt(lower * upper)
        return None

    def buckets(self) -> Iterator[tuple[float, float, int]]:
        """Yield each bucket that is not empty: its bounds in seconds, and its count."""
        for index in sorted(self._buckets):
            yield _GROWTH**index, _GROWTH ** (index + 1), self._buckets[index]
