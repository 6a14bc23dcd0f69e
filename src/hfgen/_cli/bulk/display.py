"""The live display of a run, for terminals. Needs rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hfgen._cli.bulk.progress import (
    format_errors,
    format_paused_servers,
    format_rows,
    format_speed,
    format_time_left,
    write_past_buffers,
)

if TYPE_CHECKING:
    from hfgen._cli.bulk.tally import View

_SHOW_CURSOR = "\x1b[?25h"


class Display:
    """A few lines that are redrawn in place, and removed at the end. The first `show` draws them.

    Args:
        file: The terminal.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = Console(file=file, highlight=False)
        # Only `show` redraws the lines. The thread of `auto_refresh` would compete with the run.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )

    def show(self, view: View, now: float) -> None:
        """Redraw the lines; see `Progress`."""
        self._live.start()
        self._live.update(_draw_lines(view, now), refresh=True)

    def print_line(self, text: str) -> None:
        """Print a line above the display; see `Progress`."""
        self._console.print(Text(f"hfgen: {text}"), soft_wrap=True)

    def close(self) -> None:
        """Remove the lines, and show the cursor again; see `Progress`."""
        self._live.stop()

    def print_in_signal_handler(self, text: str) -> None:
        """Show the cursor, and print a line below the display; see `Progress`."""
        write_past_buffers(self._file, f"{_SHOW_CURSOR}\nhfgen: {text}\n")


def _draw_lines(view: View, now: float) -> Group:
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
        format_rows(view),
    )
    failed = Text(format_errors(view), style="red" if view.errors else "")
    lines: list[Table | Text] = [bar, Text(format_speed(view)), failed]
    if view.paused_servers:
        lines.append(Text(format_paused_servers(view), style="yellow"))
    lines.append(Text(format_time_left(view), style="yellow" if view.is_stopping else "cyan"))
    return Group(*lines)
