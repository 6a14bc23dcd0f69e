"""`hfgen bulk`: generate text for each row of a file; no row is lost, and none is done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfgen._cli.bulk.arguments import add_arguments

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def run(options: argparse.Namespace) -> int:
    """Run the command; see `command.run`."""
    # Imported here: it imports asyncio, SQLite and aiohttp, which the other commands do not need.
    from hfgen._cli.bulk.command import run as run_command  # noqa: PLC0415

    return run_command(options)
