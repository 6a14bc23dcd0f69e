"""`Tally` counts the rows that are on the disk; `View` is the state that is shown to the user."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hfgen._bulk.results import BulkResult

# The speed is measured over at least this many seconds, and this many rows.
_MIN_SECONDS, _MIN_ROWS = 20.0, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The state of a run at some moment, as it is shown.

    Attributes:
        done: Finished rows, those of earlier runs included.
        total: Rows of the input, None if that is unknown.
        rows_per_second: Rows a second, measured recently.
        tokens_per_second: Generated tokens a second, measured recently.
        in_flight: Requests under way.
        limit: How many requests may be under way.
        retries: Attempts that were retries.
        errors: Rows with an error, by the type of the error, those of earlier runs included.
        seconds_left: How long the rest will take at this speed, None if that is unknown.
        paused_servers: The servers that get no requests for a while, because they failed.
        last_error: The message of the last error that led to a retry.
        is_stopping: Whether no further rows are begun.
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
    paused_servers: tuple[str, ...] = ()
    last_error: str = ""
    is_stopping: bool = False


@dataclass(slots=True)
class Tally:
    """Counts the rows that are on the disk. Pure: its methods are told the time.

    Attributes:
        total: Rows of the input, None if that is unknown.
        done_before: Rows that earlier runs have finished.
        ok: Rows for which this run has text.
        tokens: Tokens in these texts, as far as servers report them.
        errors: Rows of this run with an error, by the type of the error.
        messages: The message of the first of these errors, by the type of the error.
        errors_before: The same for earlier runs.
    """

    total: int | None = None
    done_before: int = 0
    ok: int = 0
    tokens: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    errors_before: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)
    # (time, rows, tokens), one for each change that `measure_speed` has seen recently.
    _marks: deque[tuple[float, int, int]] = field(default_factory=deque)

    @property
    def failed(self) -> int:
        """Rows of this run with an error."""
        return self.errors.total()

    @property
    def done(self) -> int:
        """Finished rows of this run and of earlier ones."""
        return self.done_before + self.ok + self.failed

    @property
    def all_errors(self) -> Counter[str]:
        """Rows with an error, of this run and of earlier ones, by the type of the error."""
        return self.errors_before + self.errors

    def add(self, results: Iterable[BulkResult[Any]]) -> None:
        """Count results that are on the disk."""
        for result in results:
            if result.error is None:
                self.ok += 1
                self.tokens += result.generated_tokens or 0
            else:
                name = type(result.error).__name__
                self.errors[name] += 1
                self.messages.setdefault(name, result.error.message)

    def measure_speed(self, now: float) -> tuple[float, float]:
        """Return rows and tokens a second, measured over the last calls of this method.

        Args:
            now: Seconds since the start of the run.
        """
        marks, rows = self._marks, self.ok + self.failed
        if not marks or marks[-1][1] != rows:
            marks.append((now, rows, self.tokens))
        while (
            len(marks) > 1 and marks[1][0] <= now - _MIN_SECONDS and rows - marks[1][1] >= _MIN_ROWS
        ):
            marks.popleft()
        since, before, tokens = marks[0]
        span = now - since
        return ((rows - before) / span, (self.tokens - tokens) / span) if span > 0 else (0.0, 0.0)

    def estimate_seconds_left(self, rows_per_second: float) -> float | None:
        """Return how long the rest takes at this speed, None if that is unknown."""
        if self.total is None or (rows_per_second <= 0 and self.done < self.total):
            return None
        return max(self.total - self.done, 0) / rows_per_second if rows_per_second else 0.0
