"""The texts about a run on standard error, and `Lines`, which prints them from time to time.

`display.Display` shows the same texts live on a terminal.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Protocol, TextIO

from hfgen._cli.units import format_duration, format_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hfgen._cli.bulk.tally import Tally, View

# Seconds between the first two lines; each further pause is twice as long, up to the last value.
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
_MAX_MESSAGE = 300


class Progress(Protocol):
    """Shows how far a run has come."""

    def show(self, view: View, now: float) -> None:
        """Show the state of the run.

        Args:
            view: The state.
            now: Seconds since the start of the run.
        """

    def print_line(self, text: str) -> None:
        """Print a line that stays on the screen."""

    def close(self) -> None:
        """Remove the display, and restore the terminal."""

    def print_in_signal_handler(self, text: str) -> None:
        """Restore the terminal and print a line, before the process ends at once.

        The handler may have interrupted any other method, so this takes no lock and no buffer.
        """


class Lines:
    """Prints a line from time to time: for logs, and where rich is not installed.

    Args:
        file: The stream to print to; None prints nothing.
    """

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._started: float | None = None
        self._due = 0.0
        self._pause = _FIRST_PAUSE

    def show(self, view: View, now: float) -> None:
        """Print a line if the pause is over; see `Progress`."""
        if self._started is None:
            self._started, self._due = now, now + self._pause
        if now < self._due:
            return
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._due = now + self._pause
        self.print_line(format_line(view))

    def print_line(self, text: str) -> None:
        """Print a line; see `Progress`."""
        if self._file is not None:
            print(f"hfgen: {text}", file=self._file, flush=True)

    def close(self) -> None:
        """Do nothing; see `Progress`."""

    def print_in_signal_handler(self, text: str) -> None:
        """Print a line; see `Progress`."""
        if self._file is not None:
            write_past_buffers(self._file, f"hfgen: {text}\n")


def write_past_buffers(file: TextIO, text: str) -> None:
    """Write the text to the file descriptor. A signal handler cannot write to a buffer in use."""
    with contextlib.suppress(OSError):
        os.write(file.fileno(), text.encode())


def format_line(view: View) -> str:
    """Return all parts of the state on one line."""
    parts = (
        format_rows(view),
        format_speed(view),
        format_errors(view),
        format_paused_servers(view),
        format_time_left(view),
    )
    return ", ".join(filter(None, parts))


def format_speed(view: View) -> str:
    """Return rows and tokens a second, requests in flight, and retries."""
    return ", ".join(
        (
            f"{format_number(view.rows_per_second)} rows/s",
            f"{format_number(view.tokens_per_second)} tokens/s",
            f"{format_number(view.in_flight)} in flight of {format_number(view.limit)}",
            f"{format_number(view.retries)} retries",
        )
    )


def format_paused_servers(view: View) -> str:
    """Return the servers that are paused, with the last error; empty if there are none."""
    reason = f" ({view.last_error})" if view.last_error else ""
    return f"paused: {', '.join(view.paused_servers)}{reason}" if view.paused_servers else ""


def format_time_left(view: View) -> str:
    """Return how long the rest will take; empty if that is unknown."""
    if view.is_stopping:
        return f"stopping, {format_number(view.in_flight)} still running"
    if view.seconds_left is None:
        return ""
    return f"{format_duration(max(round(view.seconds_left), 1))} left"


def format_rows(view: View) -> str:
    """Return how many rows are finished, and of how many."""
    if view.total is None:
        return f"{format_number(view.done)} rows"
    share = view.done / view.total if view.total else 1.0
    # Rounded down, so that 100 % means that all rows are finished.
    return f"{format_number(view.done)} of {format_number(view.total)} rows ({int(share * 100)}%)"


def format_errors(view: View) -> str:
    """Return how many rows have an error, for each type of error."""
    count = sum(view.errors.values())
    if not count:
        return "0 errors"
    by_count = sorted(view.errors.items(), key=lambda item: -item[1])
    kinds = ", ".join(f"{name} {format_number(errors)}" for name, errors in by_count)
    return f"{format_number(count)} error{'s' * (count > 1)} ({kinds})"


def summarize(tally: Tally, seconds: float, retries: int) -> Iterator[str]:
    """Yield lines about a run that has ended: its rows, an example of each error, its speed.

    Args:
        tally: What is on the disk.
        seconds: How long the run took.
        retries: How many attempts were retries.
    """
    rows = tally.ok + tally.failed
    done = format_number(tally.done)
    if tally.total is not None and tally.total != tally.done:
        done += f" of {format_number(tally.total)}"
    earlier = (
        f", {format_number(tally.done_before)} of them by earlier runs" if tally.done_before else ""
    )
    failed = tally.all_errors
    kinds = ", ".join(f"{name} {format_number(count)}" for name, count in failed.most_common())
    yield (
        f"{done} rows done{earlier}: {format_number(tally.done - failed.total())} with text, "
        f"{format_number(failed.total())} with an error" + f" ({kinds})" * bool(kinds)
    )
    for name, _ in tally.errors.most_common():
        yield f"{name}, for example: {_shorten(tally.messages[name])}"
    if rows:
        divisor = max(seconds, 1e-9)
        yield (
            f"{format_number(rows)} rows in {format_duration(seconds)}: "
            f"{format_number(rows / divisor)} rows/s, {format_number(tally.tokens)} tokens, "
            f"{format_number(tally.tokens / divisor)} tokens/s, {format_number(retries)} retries"
        )


def _shorten(message: str) -> str:
    """Return the message on one line, without control characters, and cut if it is long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    return line if len(line) <= _MAX_MESSAGE else f"{line[: _MAX_MESSAGE - 1]}…"
