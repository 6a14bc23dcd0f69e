"""A request and the settings of a call to what is sent: the same for sync and async."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from hfgen import _url
from hfgen._core.tgi import TGI
from hfgen._credentials import ambient_key, tracking_allowed
from hfgen._fetch import FetchRequest
from hfgen._headers import Headers
from hfgen._request import RequestLike, normalise
from hfgen._version import __version__

if TYPE_CHECKING:
    from hfgen._core.dialect import Dialect
    from hfgen._options import Settings

DIALECT: Dialect = TGI()


def fetch_request(request: RequestLike, settings: Settings, *, stream: bool) -> FetchRequest:
    """Return the HTTP request that asks for what the caller asks for.

    Raises:
        InvalidRequestError: The request, or where it is to go, is not as it must be.
    """
    body = normalise(request)
    url, model_in_url = _url.resolve(settings.url, body.get("model"))
    if model_in_url:
        del body["model"]
    return FetchRequest(
        method="POST",
        url=url,
        headers=_headers(url, settings, stream=stream),
        body=DIALECT.body(body, stream=stream),
        timeout=settings.timeout,
        signal=settings.signal,
    )


def get_request(url: str, settings: Settings) -> FetchRequest:
    """Return the HTTP request that reads something from a server."""
    headers = {n: v for n, v in _headers(url, settings).items() if n != "content-type"}
    return FetchRequest(
        method="GET",
        url=url,
        headers=Headers(headers),
        timeout=settings.timeout,
        signal=settings.signal,
    )


def _headers(url: str, settings: Settings, *, stream: bool = False) -> Headers:
    headers = {
        "accept": "text/event-stream, application/json" if stream else "application/json",
        # An event must not wait for the block of a compressor to fill.
        "accept-encoding": "identity",
        "user-agent": _user_agent(),
    }
    if key := settings.api_key or ambient_key(url):
        headers["authorization"] = f"Bearer {key}"
    return Headers(headers) | settings.headers | {"content-type": "application/json"}


def _user_agent() -> str:
    agent = f"hfgen/{__version__}"
    return f"{agent}; python/{platform.python_version()}" if tracking_allowed() else agent
