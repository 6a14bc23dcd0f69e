"""Arguments that say where a command sends its requests, and the client options they make."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hfgen._core.providers import PROVIDER_NAMES
from hfgen._core.retry import Retry
from hfgen._core.routing import plan_route
from hfgen._core.settings import Settings
from hfgen._io.environment import ENVIRONMENT
from hfgen._options import DIALECTS, CommonOptions, ConnectingOptions, override_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from hfgen._options import OnRetry

_MAX_RETRIES = Retry().max_retries


class ClientOptions(CommonOptions, ConnectingOptions, total=False):
    """The client options that these arguments give, for `Client` and `AsyncClient`."""


def add_arguments(
    parser: argparse.ArgumentParser, *, several: bool = False, max_retries: int = _MAX_RETRIES
) -> None:
    """Add the arguments.

    Args:
        parser: The parser to add them to.
        several: Whether `--api-url` may be given more than once; `api_url` is then a list.
        max_retries: How often to try again if nothing else is said.
    """
    where = parser.add_argument_group("where")
    where.add_argument("--model", help="id of the model, owner/name; with --local a directory")
    there = where.add_mutually_exclusive_group()
    there.add_argument(
        "--api-url",
        action="append" if several else "store",
        metavar="URL",
        help="where to post (default: HFGEN_API_URL, else the router)"
        + ("; given several times, each row goes to the server with the least to do" * several),
    )
    there.add_argument(
        "--provider",
        choices=PROVIDER_NAMES,
        metavar="NAME",
        help=f"who serves the model, behind the router: {', '.join(PROVIDER_NAMES)}",
    )
    where.add_argument("--api-key", help="the key (default: HF_TOKEN and its kin)")
    where.add_argument(
        "--bill-to", metavar="NAME", help="the organisation that pays, at the router"
    )
    where.add_argument(
        "--dialect",
        choices=DIALECTS,
        help="what the server speaks (default: auto, by the URL or by asking)",
    )
    there.add_argument(
        "--local", action="store_true", help="start a local server for this call, and ask that"
    )
    where.add_argument("--timeout", type=float, help="seconds to wait for each answer")
    where.add_argument(
        "--max-retries",
        type=int,
        default=max_retries,
        metavar="N",
        help=f"how often to try again ({max_retries})",
    )
    where.add_argument(
        "--wait-for-model",
        type=float,
        nargs="?",
        const=True,
        metavar="SECONDS",
        help="wait for a model that is loading, or an endpoint that wakes up (600)",
    )


@contextlib.contextmanager
def client_options(
    options: argparse.Namespace, *, on_retry: OnRetry | None = None
) -> Iterator[ClientOptions]:
    """Give a client's options; with `--local`, there is a server for as long as the context.

    Several URLs are not among them.

    Raises:
        LocalServerError: The local server cannot be started.
    """
    given = _given(options)
    given["on_retry"] = on_retry
    if isinstance(options.api_url, str):
        given["api_url"] = options.api_url
    if not options.local:
        yield given
        return
    from hfgen.server import LocalServer  # noqa: PLC0415 - optional

    with LocalServer(model=options.model or "bundled") as server:
        given["api_url"] = server.url
        # It is on this machine, where no proxy can reach it.
        given["proxy"] = False
        yield given


def check_route(options: argparse.Namespace) -> None:
    """See whether these arguments, with several URLs, go together, and name a model if need be.

    Raises:
        InvalidRequestError: They do not.
    """
    if options.local:
        return
    for url in options.api_url or (None,):
        settings = override_settings(Settings(), {**_given(options), "api_url": url})
        plan_route(model(options), settings, ENVIRONMENT)


def _given(options: argparse.Namespace) -> ClientOptions:
    given: ClientOptions = {
        "api_key": options.api_key,
        "max_retries": options.max_retries,
        "wait_for_model": options.wait_for_model,
        "provider": options.provider,
        "bill_to": options.bill_to,
        "dialect": options.dialect,
    }
    if options.timeout is not None:
        given["timeout"] = options.timeout
    return given


def model(options: argparse.Namespace) -> dict[str, str]:
    """Return the part of a request that names the model; a local server has only one."""
    return {"model": options.model} if options.model and not options.local else {}
