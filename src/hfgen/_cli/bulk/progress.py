"""What is said of a run, on standard error: a live display, or a line every now and then."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Protocol, TextIO

from hfgen._cli.units import duration, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hfgen._cli.bulk.tally import Tally, View

# Seconds between two lines: soon at first, then seldom enough for a night's log.
_FIRST, _LAST = 2.0, 60.0


class Progress(Protocol):
    """Shows how far a run has come."""

    def show(self, view: View, now: float) -> None:
        """Show it.

        Args:
            view: What to show.
            now: The time, in seconds.
        """

    def say(self, text: str) -> None:
        """Print a line that stays."""

    def close(self) -> None:
        """Leave the terminal as it was found."""

    def abandon(self, text: str) -> None:
        """Close it and print a line, in the middle of whatever it is about: for signal handlers."""


class Lines:
    """A line every now and then: for logs, and where rich is not installed.

    Args:
        file: The stream to print to; None prints nothing.
    """

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._started: float | None = None
        self._due = 0.0
        self._pause = _FIRST

    def show(self, view: View, now: float) -> None:
        """Print a line if it is time for one; see `Progress`."""
        if self._started is None:
            self._started, self._due = now, now + self._pause
        if now < self._due:
            return
        self._pause = min(self._pause * 2, _LAST)
        self._due = now + self._pause
        self.say(line(view))

    def say(self, text: str) -> None:
        """Print a line; see `Progress`."""
        if self._file is not None:
            print(f"hfgen: {text}", file=self._file, flush=True)

    def close(self) -> None:
        """Do nothing; see `Progress`."""

    def abandon(self, text: str) -> None:
        """Print a line; see `Progress`."""
        if self._file is not None:
            write_past_buffers(self._file, f"hfgen: {text}\n")


def write_past_buffers(file: TextIO, text: str) -> None:
    """Write the text at once: a buffer that is in use takes nothing from a signal handler."""
    with contextlib.suppress(OSError):
        os.write(file.fileno(), text.encode())


def line(view: View) -> str:
    """Return all that there is to say, on one line."""
    return ", ".join(filter(None, (f(view) for f in (done, speed, errors, resting, left))))


def speed(view: View) -> str:
    """Return how fast it goes, and how much goes on."""
    return ", ".join(
        (
            f"{number(view.rows_per_second)} rows/s",
            f"{number(view.tokens_per_second)} tokens/s",
            f"{number(view.in_flight)} in flight of {number(view.limit)}",
            f"{number(view.retries)} retries",
        )
    )


def resting(view: View) -> str:
    """Return which servers are left alone, and why; nothing if none is."""
    why = f" ({view.trouble})" if view.trouble else ""
    return f"resting: {', '.join(view.resting)}{why}" if view.resting else ""


def left(view: View) -> str:
    """Return how long it will take; nothing if nobody can say."""
    if view.stopping:
        return f"stopping, {number(view.in_flight)} still running"
    if view.seconds_left is None:
        return ""
    return f"{duration(max(round(view.seconds_left), 1))} left"


def done(view: View) -> str:
    """Return how many rows are done, of how many."""
    if view.total is None:
        return f"{number(view.done)} rows"
    share = view.done / view.total if view.total else 1.0
    # Rounded down: 100 % is when all is done.
    return f"{number(view.done)} of {number(view.total)} rows ({int(share * 100)}%)"


def errors(view: View) -> str:
    """Return how many rows have errors, and of which types."""
    count = sum(view.errors.values())
    if not count:
        return "0 errors"
    most = sorted(view.errors.items(), key=lambda item: -item[1])
    kinds = ", ".join(f"{name} {number(many)}" for name, many in most)
    return f"{number(count)} error{'s' * (count > 1)} ({kinds})"


def summary(tally: Tally, seconds: float, retries: int) -> Iterator[str]:
    """Give what has been done, in a line or two.

    Args:
        tally: What is on the disk.
        seconds: How long the run took.
        retries: How many attempts were made again.
    """
    rows = tally.ok + tally.failed
    done = number(tally.done)
    if tally.total is not None and tally.total != tally.done:
        done += f" of {number(tally.total)}"
    earlier = f", {number(tally.before)} of them by earlier runs" if tally.before else ""
    failed = tally.all_errors
    kinds = ", ".join(f"{name} {number(count)}" for name, count in failed.most_common())
    yield (
        f"{done} rows done{earlier}: {number(tally.done - failed.total())} with text, "
        f"{number(failed.total())} with an error" + f" ({kinds})" * bool(kinds)
    )
    if rows:
        pace = max(seconds, 1e-9)
        yield (
            f"{number(rows)} rows in {duration(seconds)}: {number(rows / pace)} rows/s, "
            f"{number(tally.tokens)} tokens, {number(tally.tokens / pace)} tokens/s, "
            f"{number(retries)} retries"
        )
