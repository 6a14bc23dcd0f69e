"""The command line that continues a stopped run, as it is shown to the user."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Options that are left out, because they would repeat finished work.
_ONCE = ("--restart", "--retry-errors")
_KEY, _URL = "--api-key", "--api-url"
_SHORTEST = len("--re")


def resume_command(arguments: Sequence[str], *more: str) -> str:
    """Return the command line, for a shell.

    It has neither the key nor the query of a URL, which may hold secrets.

    Args:
        arguments: The arguments that this command was called with, without its name.
        more: Arguments to add.
    """
    words: list[str] = []
    option = ""
    for argument in arguments:
        if not argument.startswith("--"):
            words.append(_hide_secret(option, argument))
            option = ""
        elif not any(_is_short_for(argument, name) for name in _ONCE):
            option, equals, value = argument.partition("=")
            words.append(option + equals + _hide_secret(option, value))
            option = "" if equals else option
    return f"{_program_name()} {shlex.join([*words, *more])}"


def _hide_secret(option: str, value: str) -> str:
    if value and _is_short_for(option, _KEY):
        return "..."
    if "?" in value and _is_short_for(option, _URL):
        return f"{value.partition('?')[0]}?..."
    return value


def _is_short_for(argument: str, name: str) -> bool:
    # argparse accepts an option without its last letters, if no other one begins like that.
    return len(argument) > _SHORTEST and name.startswith(argument)


def _program_name() -> str:
    name = Path(sys.argv[0]).name
    return f"{Path(sys.executable).name} -m hfgen" if name == "__main__.py" else name
