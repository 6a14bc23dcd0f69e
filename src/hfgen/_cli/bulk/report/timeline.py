"""What happened when, in a bounded number of bins: they grow wider as the run grows longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfgen._cli.bulk.report.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

# What one plot can show. Even, so that bins can be merged two by two.
_MOST_BINS = 240
_FIRST_WIDTH = 0.5
# Names of errors are few; should they be many, the rest goes under one name.
MOST_NAMES = 24
_OTHERS = "others"


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
            known = name in self.errors or len(self.errors) < MOST_NAMES
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
