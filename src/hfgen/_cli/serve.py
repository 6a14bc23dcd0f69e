"""`hfgen serve`: run the local server until a signal stops it."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from hfgen._cli.connection_arguments import read_key_file
from hfgen._cli.serve_log import FORMATS, LEVELS, configure_log
from hfgen._core.settings import check_key

if TYPE_CHECKING:
    import argparse

_logger = logging.getLogger("hfgen.server")

# Options of `ServerOptions` with their defaults. They are not imported, as asyncio would be, too.
LIMITS: dict[str, tuple[int | None, str]] = {
    "max_concurrent_requests": (128, "most generations at once; more are answered with status 429"),
    "max_batch": (64, "most generations that the engine runs side by side; the others wait"),
    "max_best_of": (2, "highest best_of of a request"),
    "max_stop_sequences": (4, "most stop strings of a request"),
    "max_top_n_tokens": (5, "highest top_n_tokens of a request"),
    "max_input_tokens": (None, "longest prompt, in tokens"),
    "max_total_tokens": (None, "longest prompt with its answer, in tokens"),
    "max_connections": (1024, "most connections; a new one takes the place of an idle one"),
}
TIME_LIMITS: dict[str, tuple[float, str]] = {
    "idle_timeout": (75, "time after which a connection without a request is closed"),
    "client_timeout": (60, "time that a client may take to send the body of a request"),
    "grace": (10, "time that running generations have to finish after a stop signal"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument(
        "--model",
        default="bundled",
        help="the directory of a checkpoint, or 'bundled' (the default) for the model in hfgen",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="port; 0 takes a free one (default: 8080)"
    )
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument(
        "--api-key",
        metavar="KEY",
        help="the key that clients must send, which the list of processes shows "
        "(default: HFGEN_API_KEY, else none)",
    )
    keys.add_argument(
        "--api-key-file",
        dest="api_key",
        type=read_key_file,
        metavar="FILE",
        help="file that has the key and nothing else",
    )
    parser.add_argument(
        "--cors-allow-origin",
        action="append",
        metavar="ORIGIN",
        help="let web pages of this origin use the server; repeatable (default: any, as with TGI)",
    )
    parser.add_argument(
        "--log-level",
        choices=LEVELS,
        default="info",
        help="lowest level of what is logged; each request is logged at info (default: info)",
    )
    parser.add_argument(
        "--log-format",
        choices=FORMATS,
        default="text",
        help="lines for people, or a JSON object a line (default: text)",
    )
    group = parser.add_argument_group("limits")
    for name, (limit, summary) in LIMITS.items():
        group.add_argument(
            _flag(name),
            type=int,
            default=limit,
            metavar="N",
            help=f"{summary} (default: {limit or 'what the model can'})",
        )
    for name, (seconds, summary) in TIME_LIMITS.items():
        group.add_argument(
            _flag(name),
            type=float,
            default=seconds,
            metavar="SECONDS",
            help=f"{summary} (default: {seconds})",
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from hfgen.server import serve  # noqa: PLC0415 - optional

    configure_log(
        level="debug" if options.debug else options.log_level, log_format=options.log_format
    )
    environment_key = os.environ.get("HFGEN_API_KEY", "").strip() or None
    if environment_key is not None:
        check_key(environment_key, "HFGEN_API_KEY")

    def announce(url: str) -> None:
        sentence = f"serving {options.model} on {url} (Ctrl-C stops it)"
        if options.log_format == "json":
            _logger.info("%s", sentence, extra={"fields": {"model": options.model, "url": url}})
        else:
            print(sentence, file=sys.stderr, flush=True)
        if options.api_key is None and environment_key is not None:
            _logger.info("clients must send the key of HFGEN_API_KEY")

    serve(
        model=options.model,
        host=options.host,
        port=options.port,
        api_key=environment_key if options.api_key is None else options.api_key,
        cors_allow_origin=options.cors_allow_origin,
        **{name: getattr(options, name) for name in (*LIMITS, *TIME_LIMITS)},
        on_ready=announce,
    )
