"""A request and the settings of a call to what is sent: the same for sync and async."""

from __future__ import annotations

import math
import platform
from typing import TYPE_CHECKING, Any, TypeVar

from hfgen import _url
from hfgen._core import accept
from hfgen._core.resume import Resumption
from hfgen._core.tgi import TGI
from hfgen._credentials import ambient_key, tracking_allowed
from hfgen._fetch import FetchRequest
from hfgen._headers import Headers
from hfgen._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hfgen._answers import Chunk
    from hfgen._core.dialect import Dialect
    from hfgen._core.exchange import Accept, Opened
    from hfgen._options import Settings
    from hfgen._signal import AbortSignal
    from hfgen._timeout import Timeout

T = TypeVar("T")

DIALECT: Dialect = TGI()


def fetch_request(
    body: Mapping[str, Any], settings: Settings, signal: AbortSignal, *, stream: bool
) -> FetchRequest:
    """Return the HTTP request that asks for what the caller asks for.

    Args:
        body: The request, normalised.
        settings: Where it goes, and how.
        signal: The signal of this call.
        stream: Whether a stream is asked for.

    Raises:
        InvalidRequestError: The request, or where it is to go, is not as it must be.
    """
    source = "api_url" if settings.api_url else "HFGEN_API_URL"
    url, model_in_url = _url.resolve(settings.url, body.get("model"), source)
    if model_in_url:
        body = {key: value for key, value in body.items() if key != "model"}
    return FetchRequest(
        method="POST",
        url=url,
        headers=_headers(url, settings, stream=stream),
        body=DIALECT.body(body, stream=stream),
        timeout=_silence(settings.timeout),
        connect_timeout=settings.timeout.connect,
        signal=signal,
    )


def accepted_items(
    body: Mapping[str, Any], settings: Settings, select: Callable[[Chunk], T | None]
) -> tuple[Accept[Opened[T]], Resumption | None]:
    """Return how a stream of items is read, and what picks it up if that is wanted."""
    most = settings.max_event_bytes
    if not settings.resume:
        return accept.items(DIALECT, select, most), None
    resumption = Resumption(body)
    return accept.items(DIALECT, lambda chunk: select(resumption.take(chunk)), most), resumption


def get_request(url: str, settings: Settings, signal: AbortSignal) -> FetchRequest:
    """Return the HTTP request that reads something from a server."""
    headers = {n: v for n, v in _headers(url, settings).items() if n != "content-type"}
    return FetchRequest(
        method="GET",
        url=url,
        headers=Headers(headers),
        timeout=_silence(settings.timeout),
        connect_timeout=settings.timeout.connect,
        signal=signal,
    )


def _silence(timeout: Timeout) -> float | None:
    if timeout.first_token is None or timeout.between_tokens is None:
        return None
    return max(timeout.first_token, timeout.between_tokens)


def _headers(url: str, settings: Settings, *, stream: bool = False) -> Headers:
    headers = {
        "accept": "text/event-stream, application/json" if stream else "application/json",
        # An event must not wait for the block of a compressor to fill.
        "accept-encoding": "identity",
        "user-agent": _user_agent(),
    }
    if settings.retry.wait_for_model and _url.is_endpoint(url):
        # The proxy in front of an endpoint that sleeps holds the request so many seconds.
        headers["x-scale-up-timeout"] = str(math.ceil(settings.retry.wait_for_model))
    if key := settings.api_key or ambient_key(url):
        headers["authorization"] = f"Bearer {key}"
    return Headers(headers) | settings.headers | {"content-type": "application/json"}


def _user_agent() -> str:
    agent = f"hfgen/{__version__}"
    return f"{agent}; python/{platform.python_version()}" if tracking_allowed() else agent
