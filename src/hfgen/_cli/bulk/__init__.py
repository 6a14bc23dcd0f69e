"""`hfgen bulk`: a file of prompts in, the same rows with their texts out, none lost, none twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfgen._cli.bulk.arguments import add_arguments

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def run(options: argparse.Namespace) -> int:
    """Carry the command out; see `command.run`."""
    # With it come asyncio, SQLite and aiohttp, which the other commands do without.
    from hfgen._cli.bulk.command import run as carry_out  # noqa: PLC0415

    return carry_out(options)
