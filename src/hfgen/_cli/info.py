"""`hfgen info`: show what a server reports about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hfgen._cli.connection_arguments import add_key_arguments
from hfgen._cli.terminal import write_json_line
from hfgen._sync.client import Client

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("url", help="the server's URL")
    add_key_arguments(parser)
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait (default: 10)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    with Client(
        api_url=options.url, api_key=options.api_key, timeout=options.timeout, max_retries=0
    ) as client:
        info = client.info()
    if options.json:
        write_json_line(info.to_dict())
        return
    facts = {name: value for name, value in info.to_dict().items() if value is not None}
    width = max(map(len, facts))
    for name, value in facts.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        print(f"{name:<{width}}  {text}")
