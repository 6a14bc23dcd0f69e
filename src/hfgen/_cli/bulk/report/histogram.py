"""A histogram of durations, of a size that does not depend on how many there are. No I/O."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each bucket is so much wider than the one before: quantiles are off by at most half of it.
_GROWTH = 1.08
_LOG_GROWTH = math.log(_GROWTH)
# Seconds; what is shorter counts as this, so that there are few hundred buckets for any duration.
_LEAST = 1e-4
_MOST = 1e6


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
