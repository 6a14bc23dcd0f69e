"""The command line that resumes a stopped run, as it is shown to the user."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# These would repeat finished work.
_ONCE = ("--restart", "--retry-errors")
_KEY, _URL = "--api-key", "--api-url"
_SHORTEST = len("--re")


def resume_command(arguments: Sequence[str], *more: str) -> str:
    """Return the command line, for a shell.

    A key is not shown, nor a URL's query; what would begin anew is left out.

    Args:
        arguments: What the command was called with, without its name.
        more: Arguments to add.
    """
    kept: list[str] = []
    option = ""
    for each in arguments:
        if not each.startswith("--"):
            kept.append(_shown(option, each))
            option = ""
        elif not any(_short_for(each, name) for name in _ONCE):
            option, equals, value = each.partition("=")
            kept.append(option + equals + _shown(option, value))
            option = "" if equals else option
    return f"{_program()} {shlex.join([*kept, *more])}"


def _shown(option: str, value: str) -> str:
    if value and _short_for(option, _KEY):
        return "..."
    if "?" in value and _short_for(option, _URL):
        return f"{value.partition('?')[0]}?..."
    return value


def _short_for(argument: str, name: str) -> bool:
    # argparse takes any beginning of a name that is no beginning of another one.
    return len(argument) > _SHORTEST and name.startswith(argument)


def _program() -> str:
    called = Path(sys.argv[0]).name
    return f"{Path(sys.executable).name} -m hfgen" if called == "__main__.py" else called
