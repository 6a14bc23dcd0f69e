"""`hfgen serve`: the local server, until it is told to stop."""

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
        help="the directory of a checkpoint, or 'bundled' (the default) for the one in hfgen",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="port; 0 takes a free one (8080)")
    parser.add_argument("--api-key", help="the key that callers must send (default: none)")
    parser.add_argument(
        "--max-concurrent-requests",
        type=int,
        default=128,
        help="requests beyond so many are answered 429 (128)",
    )
    parser.add_argument(
        "--cors-allow-origin",
        action="append",
        metavar="ORIGIN",
        help="web pages of this origin may ask; repeatable (default: any, as with TGI)",
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="running generations may go on so long when it is told to stop (10)",
    )


def run(options: argparse.Namespace) -> None:
    """Carry the command out."""
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
