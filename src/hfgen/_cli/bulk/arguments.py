"""The arguments of `hfgen bulk`."""

from __future__ import annotations

import argparse
import re

from hfgen._bulk.rate_limit import RateLimit
from hfgen._cli import connection_arguments, parameter_arguments

# More than for a single call: among many rows, some fail several times by chance.
_MAX_RETRIES = 5
_CONCURRENCY = re.compile(r"(?:(\d+)\.\.)?(\d+)")
_RATE = re.compile(r"(\d+(?:\.\d+)?)([rt])pm")
_RATES = {"r": "requests_per_minute", "t": "tokens_per_minute"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="rows with a prompt: .jsonl, .txt, .csv, .tsv (also .gz, .zst), .parquet; - reads "
        "standard input",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUTPUT",
        required=True,
        help="file for the rows with their texts: .jsonl, .csv, .tsv (also .gz, .zst) or .parquet. "
        "The same command again continues a run that was stopped",
    )
    rows = parser.add_argument_group("rows")
    rows.add_argument(
        "--template",
        metavar="TEXT",
        help='the prompt, with names of columns in braces: "Translate: {text}" (default: the '
        "column inputs or prompt)",
    )
    rows.add_argument(
        "--format",
        metavar="NAME",
        help="format of INPUT, if its name lacks it: jsonl, jsonl.gz, txt, csv, tsv, parquet",
    )
    rows.add_argument(
        "--limit",
        type=_parse_count,
        metavar="N",
        help="run only the first N rows of INPUT; a later run with a larger N goes on",
    )
    rows.add_argument(
        "--details", action="store_true", help="add the details of each answer to its row"
    )
    rows.add_argument("--ordered", action="store_true", help="keep the order of INPUT")
    repeat = rows.add_mutually_exclusive_group()
    repeat.add_argument(
        "--restart", action="store_true", help="start from the first row, and overwrite OUTPUT"
    )
    repeat.add_argument(
        "--retry-errors",
        action="store_true",
        help="run the rows again that have an error in OUTPUT",
    )
    rows.add_argument(
        "--max-errors",
        type=_parse_count,
        metavar="N",
        help="stop when more than N rows have ended in an error (default: never)",
    )
    rows.add_argument(
        "--report", metavar="FILE.html", help="write a page with plots of the run when it ends"
    )
    connection_arguments.add_arguments(parser, several=True, max_retries=_MAX_RETRIES)
    speed = parser.add_argument_group("speed")
    speed.add_argument(
        "--concurrency",
        type=parse_concurrency,
        default=(1, 256),
        metavar="MIN..MAX",
        help="requests at once: as many as the servers can take, within this range, or N for a "
        "fixed number (default: 1..256)",
    )
    speed.add_argument(
        "--rate-limit",
        type=parse_rate_limit,
        metavar="RATE",
        help="limit of requests a minute (600rpm), of tokens a minute in prompts and answers "
        "(90000tpm), or of both (600rpm,90000tpm)",
    )
    speed.add_argument(
        "--patience",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="try a row again for this long that servers refuse because of their load; then it has "
        "an error (default: 600)",
    )
    speed.add_argument(
        "--no-stream",
        action="store_true",
        help="ask for whole answers instead of streams",
    )
    engine = parser.add_argument_group("engine")
    engine.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="what sends the requests: this process, or workers on a Ray cluster, which share "
        "--concurrency and --rate-limit (default: local)",
    )
    engine.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="address of the cluster (default: RAY_ADDRESS, else Ray is started on this machine)",
    )
    engine.add_argument(
        "--workers",
        type=_parse_count,
        metavar="N",
        help="number of workers (default: one for each node of the cluster)",
    )
    parameter_arguments.add_arguments(parser, {"top-n-tokens": "--details"})


def parse_concurrency(text: str) -> int | tuple[int, int]:
    """Return the number in "N", or the pair in "MIN..MAX".

    Raises:
        ArgumentTypeError: It is neither "N" nor "MIN..MAX".
    """
    match = _CONCURRENCY.fullmatch(text)
    if match:
        least, most = match[1] and int(match[1]), int(match[2])
        if least is None and most > 0:
            return most
        if least and least <= most:
            return least, most
    raise argparse.ArgumentTypeError(
        f"{text!r} is neither a number from 1 on nor a range such as 1..256"
    )


def parse_rate_limit(text: str) -> RateLimit:
    """Return the limit that a text such as "600rpm,90000tpm" names.

    Raises:
        ArgumentTypeError: The text is not a limit.
    """
    matches = [_RATE.fullmatch(part.strip()) for part in text.split(",")]
    rates = {_RATES[match[2]]: float(match[1]) for match in matches if match}
    if len(rates) < len(matches) or not all(rates.values()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a rate such as 600rpm, 90000tpm, or 600rpm,90000tpm"
        )
    return RateLimit(**rates)


def _parse_count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)
