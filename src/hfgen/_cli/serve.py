"""`hfgen serve`: run the local server until a signal stops it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


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
    parser.add_argument("--api-key", help="the key that clients must send (default: none)")
    parser.add_argument(
        "--max-concurrent-requests",
        type=int,
        default=128,
        help="largest number of requests at once; more are answered with status 429 (default: 128)",
    )
    parser.add_argument(
        "--cors-allow-origin",
        action="append",
        metavar="ORIGIN",
        help="let web pages of this origin use the server; repeatable (default: any, as with TGI)",
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="time that running generations have to finish after a stop signal (default: 10)",
    )


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from hfgen.server import serve  # noqa: PLC0415 - optional

    serve(
        model=options.model,
        host=options.host,
        port=options.port,
        api_key=options.api_key,
        max_concurrent_requests=options.max_concurrent_requests,
        cors_allow_origin=options.cors_allow_origin,
        grace=options.grace,
        on_ready=lambda url: print(
            f"serving {options.model} on {url} (Ctrl-C stops it)", file=sys.stderr, flush=True
        ),
    )
