"""Arguments for where a command sends its requests, and the client options from them."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from hfgen._core.errors import InvalidRequestError
from hfgen._core.providers import PROVIDER_NAMES
from hfgen._core.retry import Retry
from hfgen._core.routing import plan_route
from hfgen._core.settings import Settings, check_key
from hfgen._io.environment import ENVIRONMENT
from hfgen._options import DIALECTS, CommonOptions, ConnectingOptions, override_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hfgen._options import OnRetry

_MAX_RETRIES = Retry().max_retries


class ClientOptions(CommonOptions, ConnectingOptions, total=False):
    """Options of `Client` and `AsyncClient` that these arguments set."""


def add_arguments(
    parser: argparse.ArgumentParser, *, several: bool = False, max_retries: int = _MAX_RETRIES
) -> None:
    """Add the arguments.

    Args:
        parser: The parser to add them to.
        several: Whether `--api-url` may be given more than once; `api_url` is then a list.
        max_retries: The default of `--max-retries`.
    """
    group = parser.add_argument_group("server")
    group.add_argument(
        "--model",
        help="id of the model, owner/name (default: HFGEN_MODEL); with --local the directory of a "
        "checkpoint",
    )
    servers = group.add_mutually_exclusive_group()
    servers.add_argument(
        "--api-url",
        action="append" if several else "store",
        metavar="URL",
        help="URL of the server (default: HFGEN_API_URL, else the router)"
        + ("; repeatable: each row goes to the least busy server" * several),
    )
    servers.add_argument(
        "--provider",
        choices=PROVIDER_NAMES,
        metavar="NAME",
        help=f"the provider behind the router: {', '.join(PROVIDER_NAMES)}",
    )
    add_key_arguments(group)
    group.add_argument("--bill-to", metavar="NAME", help="the organisation that the router bills")
    group.add_argument(
        "--dialect",
        choices=DIALECTS,
        help="the API of the server (default: auto, from the URL, or the server is asked)",
    )
    servers.add_argument(
        "--local", action="store_true", help="start a local server for this command, and use that"
    )
    group.add_argument("--timeout", type=float, help="seconds to wait for each answer")
    group.add_argument(
        "--max-retries",
        type=int,
        default=max_retries,
        metavar="N",
        help=f"retries of a request (default: {max_retries})",
    )
    group.add_argument(
        "--wait-for-model",
        type=float,
        nargs="?",
        const=True,
        metavar="SECONDS",
        help="wait for a model that is loading, or an endpoint that wakes up (600 seconds if no "
        "number is given)",
    )


def add_key_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the arguments for the key: `--api-key`, and `--api-key-file`, which reads it."""
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument(
        "--api-key",
        metavar="KEY",
        help="the key, which the list of processes shows (default: HFGEN_API_KEY for the server of "
        "HFGEN_API_URL; for Hugging Face HF_TOKEN, else the token of 'hf auth login')",
    )
    keys.add_argument(
        "--api-key-file",
        dest="api_key",
        type=read_key_file,
        metavar="FILE",
        help="file that has the key and nothing else",
    )


def read_key_file(name: str) -> str:
    """Return the key in a file.

    Raises:
        ArgumentTypeError: The file cannot be read, or has no key.
    """
    try:
        return check_key(Path(name).read_text(encoding="utf-8").strip(), name)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise argparse.ArgumentTypeError(f"{name} is not text") from None
    except InvalidRequestError as error:
        raise argparse.ArgumentTypeError(error.message) from None


@contextlib.contextmanager
def client_options(
    options: argparse.Namespace, *, on_retry: OnRetry | None = None
) -> Iterator[ClientOptions]:
    """Give the options of a client. With `--local`, a server runs until the end of the context.

    If `--api-url` is a list (`several`), it is not among these options.

    Raises:
        LocalServerError: The local server cannot be started.
    """
    client = _common_options(options)
    client["on_retry"] = on_retry
    if isinstance(options.api_url, str):
        client["api_url"] = options.api_url
    if not options.local:
        yield client
        return
    from hfgen.server import LocalServer  # noqa: PLC0415 - optional

    with LocalServer(model=options.model or "bundled") as server:
        client["api_url"] = server.url
        # A proxy on another machine could not reach this server.
        client["proxy"] = False
        yield client


def check_route(options: argparse.Namespace) -> None:
    """Check that these arguments fit together, and name a model where one is needed.

    `--api-url` must be a list here (`several`).

    Raises:
        InvalidRequestError: They do not fit, or name no model.
    """
    if options.local:
        return
    for url in options.api_url or (None,):
        settings = override_settings(Settings(), {**_common_options(options), "api_url": url})
        plan_route(model_field(options), settings, ENVIRONMENT)


def _common_options(options: argparse.Namespace) -> ClientOptions:
    common: ClientOptions = {
        "api_key": options.api_key,
        "max_retries": options.max_retries,
        "wait_for_model": options.wait_for_model,
        "provider": options.provider,
        "bill_to": options.bill_to,
        "dialect": options.dialect,
    }
    if options.timeout is not None:
        common["timeout"] = options.timeout
    return common


def model_field(options: argparse.Namespace) -> dict[str, str]:
    """Return the `model` field of a request; empty for a local server, which has only one model."""
    model = options.model or ENVIRONMENT.model
    return {"model": model} if model and not options.local else {}
