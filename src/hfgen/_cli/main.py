"""The command line: its commands, and the exit status for each kind of error."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from typing import TYPE_CHECKING

from hfgen._cli import bulk, generate, info, serve
from hfgen._cli.terminal import discard_output, escape_unencodable_output
from hfgen._core.errors import HfgenError, InvalidRequestError
from hfgen._io.stop_signals import EXIT_INTERRUPTED, handle_stop_signals
from hfgen._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import NoReturn

_COMMANDS: dict[str, tuple[ModuleType, str]] = {
    "generate": (generate, "generate text and print it as it comes"),
    "bulk": (bulk, "generate text for each row of a file; a stopped run can be continued"),
    "serve": (serve, "serve a model on this machine, with the API of Text Generation Inference"),
    "info": (info, "show what a server reports about itself: TGI's /info, else /v1/models"),
}

_EXIT_FAILED, _EXIT_WRONG_USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status.

    0: done, also if a closed pipe has cut the output short; 1: an error, shown as one line on
    standard error; 2: the command line is wrong; 3: `bulk` is done, and some rows have errors; 130:
    Ctrl-C.
    """
    with handle_stop_signals(
        "SIGINT",
        stop=_raise_keyboard_interrupt,
        stop_at_once=lambda: os._exit(EXIT_INTERRUPTED),
        ends_process=True,
    ):
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    options = _parse(arguments)
    if options.debug:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
    try:
        if sys.stdout is None:
            raise InvalidRequestError("standard output is closed")
        escape_unencodable_output()
        status: int = options.do(options) or 0
        # Flushed here: at exit, the interpreter would report a closed pipe as an error.
        sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        discard_output(sys.stdout)
    except OSError as error:
        discard_output(sys.stdout)
        print(f"hfgen: error: cannot write: {error.strerror}", file=sys.stderr)
        return _EXIT_FAILED
    except HfgenError as error:
        if options.debug:
            raise
        print(f"hfgen: error: {name_arguments(_one_line(error), options)}", file=sys.stderr)
        return _EXIT_FAILED
    else:
        return status
    return 0


def _raise_keyboard_interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hfgen", description="Hugging Face text generation from the command line."
    )
    parser.add_argument("--version", action="version", version=f"hfgen {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--debug", action="store_true", help="log each step, and show errors with tracebacks"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, (module, summary) in _COMMANDS.items():
        command = commands.add_parser(
            name, parents=[common], help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        module.add_arguments(command)
        command.set_defaults(do=module.run, parser=command)
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _build_parser()
    options, unknown = parser.parse_known_args(arguments)
    if "parser" not in options:
        parser.print_help(sys.stderr)
        parser.exit(_EXIT_WRONG_USAGE)
    if unknown:
        # `parse_args` would show the usage of `hfgen`, which has none of the command's arguments.
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def name_arguments(message: str, options: argparse.Namespace) -> str:
    """Return an error's message with arguments of the command in place of hfgen's options.

    Messages name options as `api_key=` or `model="owner/name"`, or begin with their name.
    """
    names = "|".join(map(re.escape, vars(options)))
    pattern = (
        rf'\b(?P<name>{names})(?:="(?P<value>[^"]*)"|=(?![^\s,;:.)]))|^(?P<first>{names})(?= must )'
    )

    def write(match: re.Match[str]) -> str:
        argument = f"--{(match['name'] or match['first']).replace('_', '-')}"
        return f"{argument} {match['value']}" if match["value"] else argument

    return re.sub(pattern, write, message)


def _one_line(error: HfgenError) -> str:
    return " ".join(error.message.split())
