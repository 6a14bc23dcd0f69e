"""`hfgen info`: what a server says of itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core.dialect import malformed
from hfgen._errors import NotFoundError
from hfgen._sync_client import Client
from hfgen._url import check, display

if TYPE_CHECKING:
    import argparse

# People pass the URL that they post to.
_ROUTES = re.compile(r"/(generate|generate_stream|v1|v1/completions|v1/chat/completions)?/?$")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("url", help="the server's URL")
    parser.add_argument("--api-key", help="the key (default: HF_TOKEN and its kin)")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait (10)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> None:
    """Carry the command out."""
    check(options.url, "the URL")
    base = _ROUTES.sub("", display(options.url))
    with Client(api_key=options.api_key, timeout=options.timeout, max_retries=0) as client:
        try:
            facts = _get(client, f"{base}/info")
        except NotFoundError:
            facts = _get(client, f"{base}/v1/models")
    if options.json:
        print(msgspec.json.encode(facts).decode())
        return
    shown = facts if isinstance(facts, dict) else {"answer": facts}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        print(f"{name:<{width}}  {text}")


def _get(client: Client, url: str) -> Any:
    body = client._get(url)  # noqa: SLF001 - the command is of the house
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise malformed(body, f"{url} answers something else than JSON") from None
