"""The arguments of `hfgen bulk`."""

from __future__ import annotations

import argparse
import re

from hfgen._bulk.rate_limit import RateLimit

# More than for one call: among many rows there are some that have bad luck more than once.
from hfgen._cli import connection_arguments as where
from hfgen._cli import parameter_arguments as parameters

# More than for one call: among many rows there are some that have bad luck more than once.
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
        help="where the rows go, with their texts: .jsonl (also .gz, .zst) or .parquet. If it has "
        "been begun by the same command, that goes on",
    )
    rows = parser.add_argument_group("rows")
    rows.add_argument(
        "--template",
        metavar="TEXT",
        help='makes the prompt of columns, as in "Translate: {text}" (default: the column inputs '
        "or prompt)",
    )
    rows.add_argument(
        "--format",
        metavar="NAME",
        help="what INPUT is, where its name does not say: jsonl, txt, csv, tsv, parquet, jsonl.gz",
    )
    rows.add_argument(
        "--details", action="store_true", help="put the details of each answer into its row, too"
    )
    rows.add_argument("--ordered", action="store_true", help="keep the order of INPUT")
    again = rows.add_mutually_exclusive_group()
    again.add_argument(
        "--restart", action="store_true", help="begin anew, and overwrite what OUTPUT has"
    )
    again.add_argument(
        "--retry-errors", action="store_true", help="run the rows again that ended in an error"
    )
    rows.add_argument(
        "--max-errors",
        type=_count,
        metavar="N",
        help="stop when more than so many rows have ended in an error (default: never)",
    )
    rows.add_argument(
        "--report", metavar="FILE.html", help="write a page with plots of the run at its end"
    )
    where.add_arguments(parser, several=True, max_retries=_MAX_RETRIES)
    speed = parser.add_argument_group("how fast")
    speed.add_argument(
        "--concurrency",
        type=concurrency,
        default=(1, 256),
        metavar="MIN..MAX",
        help="requests at once: as many of these as the servers take, or N for just so many "
        "(1..256)",
    )
    speed.add_argument(
        "--rate-limit",
        type=rate_limit,
        metavar="RATE",
        help="no more than this: 600rpm (requests a minute), 90000tpm (tokens a minute, those of "
        "the prompts included), or both, as in 600rpm,90000tpm",
    )
    speed.add_argument(
        "--no-stream",
        action="store_true",
        help="wait for whole answers, instead of reading them as streams",
    )
    engine = parser.add_argument_group("on what")
    engine.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="who asks: this process, or workers on a Ray cluster, for which --concurrency and "
        "--rate-limit hold in all (local)",
    )
    engine.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="the cluster (default: RAY_ADDRESS, else a Ray of its own on this machine)",
    )
    engine.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="how many workers (default: one a node of the cluster)",
    )
    parameters.add_arguments(parser, {"top-n-tokens": "--details"})


def concurrency(text: str) -> int | tuple[int, int]:
    """Return how many requests at once, or from how many to how many.

    Raises:
        ArgumentTypeError: It is neither "N" nor "MIN..MAX".
    """
    found = _CONCURRENCY.fullmatch(text)
    if found:
        least, most = found[1] and int(found[1]), int(found[2])
        if least is None and most > 0:
            return most
        if least and least <= most:
            return least, most
    raise argparse.ArgumentTypeError(
        f"{text!r} is neither a number from 1 on nor a range such as 1..256"
    )


def rate_limit(text: str) -> RateLimit:
    """Return the limit that a text such as "600rpm,90000tpm" names.

    Raises:
        ArgumentTypeError: It names none.
    """
    found = [_RATE.fullmatch(part.strip()) for part in text.split(",")]
    rates = {_RATES[each[2]]: float(each[1]) for each in found if each}
    if len(rates) < len(found) or not all(rates.values()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no rate; one looks like 600rpm, 90000tpm, or 600rpm,90000tpm"
        )
    return RateLimit(**rates)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)
