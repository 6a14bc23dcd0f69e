"""The live display of a run, for terminals. Needs rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hfgen._cli.bulk.progress import done, errors, left, resting, speed, write_past_buffers

if TYPE_CHECKING:
    from hfgen._cli.bulk.tally import View

_SHOW_CURSOR = "\x1b[?25h"


class Display:
    """A few lines that are drawn anew in their place, and are gone at the end.

    It begins with the first `show`.

    Args:
        file: The terminal.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = Console(file=file, highlight=False)
        # Refreshed by `show` alone: a thread of its own would draw while the rows are counted.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )

    def show(self, view: View, now: float) -> None:
        """Draw it; see `Progress`."""
        self._live.start()
        self._live.update(_drawn(view, now), refresh=True)

    def say(self, text: str) -> None:
        """Print a line above the display; see `Progress`."""
        self._console.print(Text(f"hfgen: {text}"), soft_wrap=True)

    def close(self) -> None:
        """Take the display away, and show the cursor again; see `Progress`."""
        self._live.stop()

    def abandon(self, text: str) -> None:
        """Leave the display where it is, show the cursor, and print a line; see `Progress`."""
        write_past_buffers(self._file, f"{_SHOW_CURSOR}\nhfgen: {text}\n")


def _drawn(view: View, now: float) -> Group:
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right", no_wrap=True)
    bar.add_row(
        ProgressBar(
            total=view.total,
            completed=view.done,
            pulse=view.total is None,
            animation_time=now,
        ),
        done(view),
    )
    failed = Text(errors(view), style="red" if view.errors else "")
    lines: list[Table | Text] = [bar, Text(speed(view)), failed]
    if view.resting:
        lines.append(Text(resting(view), style="yellow"))
    lines.append(Text(left(view), style="yellow" if view.stopping else "cyan"))
    return Group(*lines)
