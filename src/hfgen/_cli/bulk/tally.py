"""How far a run has come: what is on the disk, and how fast it gets there."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hfgen._bulk.results import BulkResult

# Over how many seconds and how many rows the speed is taken, at least.
_RECENT, _ENOUGH = 20.0, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is to be shown of a run at some moment.

    Attributes:
        done: Rows that have come to their end, those of earlier runs included.
        total: Rows of the input, None while that is not known.
        rows_per_second: Rows a second of late.
        tokens_per_second: Generated tokens a second of late.
        in_flight: Requests under way.
        limit: How many may be.
        retries: Attempts that were made again.
        errors: Rows with an error, by the type of the error, those of earlier runs included.
        seconds_left: How long the rest will take at this speed, None if nobody can say.
        resting: The servers that are left alone, because they failed.
        trouble: Why the last attempt failed that was made again.
        stopping: Whether no further rows are begun.
    """

    done: int
    total: int | None
    rows_per_second: float
    tokens_per_second: float
    in_flight: int
    limit: int
    retries: int
    errors: Mapping[str, int]
    seconds_left: float | None
    resting: tuple[str, ...] = ()
    trouble: str = ""
    stopping: bool = False


@dataclass(slots=True)
class Tally:
    """Counts the rows that are on the disk. It is told the time.

    Attributes:
        total: Rows of the input, None while that is not known.
        before: Rows that earlier runs have brought to their end.
        ok: Rows that this run has got text for.
        tokens: Tokens in these texts, as far as servers said.
        errors: Rows of this run with an error, by the type of the error.
        errors_before: The same of earlier runs.
    """

    total: int | None = None
    before: int = 0
    ok: int = 0
    tokens: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    errors_before: Counter[str] = field(default_factory=Counter)
    _marks: deque[tuple[float, int, int]] = field(default_factory=deque)

    @property
    def failed(self) -> int:
        """Rows of this run with an error."""
        return self.errors.total()

    @property
    def done(self) -> int:
        """Rows that have come to their end, in this run or an earlier one."""
        return self.before + self.ok + self.failed

    @property
    def all_errors(self) -> Counter[str]:
        """Rows with an error, of this run or an earlier one, by the type of the error."""
        return self.errors_before + self.errors

    def add(self, results: Iterable[BulkResult[Any]]) -> None:
        """Count results that are on the disk."""
        for result in results:
            if result.error is None:
                self.ok += 1
                self.tokens += result.generated_tokens or 0
            else:
                self.errors[type(result.error).__name__] += 1

    def speed(self, now: float) -> tuple[float, float]:
        """Return rows and tokens a second of late; to be asked every now and then.

        Args:
            now: The time, in seconds.
        """
        marks, rows = self._marks, self.ok + self.failed
        if not marks or marks[-1][1] != rows:
            marks.append((now, rows, self.tokens))
        while len(marks) > 1 and marks[1][0] <= now - _RECENT and rows - marks[1][1] >= _ENOUGH:
            marks.popleft()
        since, before, tokens = marks[0]
        span = now - since
        return ((rows - before) / span, (self.tokens - tokens) / span) if span > 0 else (0.0, 0.0)

    def seconds_left(self, rows_per_second: float) -> float | None:
        """Return how long the rest takes at this speed, None if nobody can say."""
        if self.total is None or (rows_per_second <= 0 and self.done < self.total):
            return None
        return max(self.total - self.done, 0) / rows_per_second if rows_per_second else 0.0
