"""Records a run while it goes on, for the page at its end. The size of the record is bounded.

`Recorder` adds each result and sample to a `Timeline`: at most 240 bins of time, which grow wider
as the run grows longer. A `Bin` keeps counts, and a `Histogram` of durations.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hfgen._bulk.results import BulkResult

# Characters of a message that the page shows.
_MESSAGE = 300
# What one plot can show. Even, so that bins can be merged two by two.
_MOST_BINS = 240
_FIRST_WIDTH = 0.5
# Names of errors are few; should they be many, the rest goes under one name.
_MOST_NAMES = 24
_OTHERS = "others"
# Each bucket is so much wider than the one before: quantiles are off by at most half of it.
_GROWTH = 1.08
_LOG_GROWTH = math.log(_GROWTH)
# Seconds; what is shorter counts as this, so that there are few hundred buckets for any duration.
_LEAST = 1e-4
_MOST = 1e6


class Recorder:
    """Takes note of results, and of samples in between.

    Attributes:
        timeline: What happened when.
        messages: For each type of error the message of the first one.
        seconds: How far the run has come, in seconds from its start.
    """

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.messages: dict[str, str] = {}
        self.seconds = 0.0
        self._retries = 0

    def add(self, result: BulkResult[Any], seconds: float) -> None:
        """Take note of a finished row.

        Args:
            result: The row's result.
            seconds: When, from the start of the run.
        """
        self.seconds = max(self.seconds, seconds)
        bin_ = self.timeline.at(seconds)
        if result.error is not None:
            name = type(result.error).__name__
            bin_.fail({name: 1})
            if len(self.messages) < _MOST_NAMES:
                message = " ".join(result.error.message.split())
                self.messages.setdefault(name, message[:_MESSAGE])
            return
        bin_.rows += 1
        bin_.tokens += result.generated_tokens or 0
        if result.latency is not None:
            bin_.latency.add(result.latency)
        if result.time_to_first_token is not None:
            bin_.time_to_first_token.add(result.time_to_first_token)

    def sample(self, seconds: float, *, in_flight: int, limit: int, retries: int) -> None:
        """Take note of the state of the run.

        Args:
            seconds: When, from the start of the run.
            in_flight: How many requests are under way.
            limit: How many may be.
            retries: How many attempts have been made again, from the start on.
        """
        self.seconds = max(self.seconds, seconds)
        bin_ = self.timeline.at(seconds)
        bin_.in_flight = max(bin_.in_flight, in_flight)
        bin_.limit = max(bin_.limit, limit)
        bin_.retries += retries - self._retries
        self._retries = retries
        self.timeline.in_flight, self.timeline.limit = in_flight, limit


class Bin:
    """What happened in a span of time.

    Attributes:
        rows: How many rows have got their text.
        tokens: How many tokens these have.
        latency: How long their last attempts took.
        time_to_first_token: How long they took until the first token.
        errors: How many rows ended in an error, by the error's type.
        retries: How many attempts were made again.
        in_flight: The most requests that were seen under way at once.
        limit: The most that were allowed at once.
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

    def fail(self, errors: Mapping[str, int]) -> None:
        """Count rows that ended in errors, by type."""
        for name, count in errors.items():
            known = name in self.errors or len(self.errors) < _MOST_NAMES
            key = name if known else _OTHERS
            self.errors[key] = self.errors.get(key, 0) + count

    def merge(self, other: Bin) -> None:
        """Add what happened in another one."""
        self.rows += other.rows
        self.tokens += other.tokens
        self.latency.merge(other.latency)
        self.time_to_first_token.merge(other.time_to_first_token)
        self.fail(other.errors)
        self.retries += other.retries
        self.in_flight = max(self.in_flight, other.in_flight)
        self.limit = max(self.limit, other.limit)


class Timeline:
    """Bins of equal width, from 0 on.

    Attributes:
        width: Seconds that each of them spans.
        bins: The bins, at most 240, up to the last one in which something happened.
        in_flight: How many requests were under way when last seen: so many are until more is known.
        limit: How many were allowed when last seen.
    """

    def __init__(self) -> None:
        self.width = _FIRST_WIDTH
        self.bins: list[Bin] = []
        self.in_flight = 0
        self.limit = 0

    def at(self, seconds: float) -> Bin:
        """Return the bin of a time, in seconds from the start."""
        while seconds >= self.width * _MOST_BINS:
            self._widen()
        place = int(seconds / self.width)
        while len(self.bins) <= place:
            self.bins.append(Bin(self.in_flight, self.limit))
        return self.bins[place]

    def whole(self) -> Bin:
        """Return all bins in one."""
        whole = Bin()
        for each in self.bins:
            whole.merge(each)
        return whole

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
        place = math.floor(math.log(min(max(seconds, _LEAST), _MOST)) / _LOG_GROWTH)
        self._buckets[place] = self._buckets.get(place, 0) + 1
        self.count += 1
        self.total += seconds

    def merge(self, other: Histogram) -> None:
        """Count all that another one has counted."""
        for place, count in other._buckets.items():
            self._buckets[place] = self._buckets.get(place, 0) + count
        self.count += other.count
        self.total += other.total

    def quantile(self, share: float) -> float | None:
        """Return the duration that this share of all is not above, None if there is none.

        Args:
            share: From 0 to 1: 0.5 for the median.
        """
        rank = share * self.count
        seen = 0
        for lower, upper, count in self.buckets():
            seen += count
            if seen >= rank:
                return math.sqrt(lower * upper)
        return None

    def buckets(self) -> Iterator[tuple[float, float, int]]:
        """Give each bucket that is not empty: from and to, in seconds, and its count."""
        for place in sorted(self._buckets):
            yield _GROWTH**place, _GROWTH ** (place + 1), self._buckets[place]
