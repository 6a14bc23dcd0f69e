"""URLs: checks of an `api_url`, the model in it, routes beside it, what a message may show."""

from __future__ import annotations

import re
import string
from functools import lru_cache
from urllib.parse import quote, urlsplit, urlunsplit

from hfgen._core.errors import InvalidRequestError

DEFAULT_API_URL = "https://router.huggingface.co/hf-inference/models/"

# It answers 410 and names this successor in its body.
_RETIRED = {"api-inference.huggingface.co": DEFAULT_API_URL}
# A name of any script, or an IPv6 address; parsers of URLs disagree on other characters.
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+(%[0-9A-Za-z_]+)?")
_RESERVED = string.punctuation
_DEFAULT_PORTS = {"http": 80, "https": 443}
# A program has few URLs, and each call parses its own several times.
cache_by_url = lru_cache(maxsize=256)


def resolve_url(api_url: str, model: str | None, source: str = "api_url") -> tuple[str, bool]:
    """Return the URL to post to, and whether the model is part of it.

    Raises:
        InvalidRequestError: The URL is not one to post to, or needs a model and has none.
    """
    check_url(api_url, source)
    api_url = encode_url(api_url)
    if not api_url.endswith("/models/"):
        return api_url, False
    if not model:
        raise InvalidRequestError(
            f"the request needs a `model`, because {redact_url(api_url)} ends with /models/"
        )
    check_model(model)
    return api_url + quote(model, safe="/"), True


def check_model(model: str) -> None:
    """Raise `InvalidRequestError` if a model's id cannot be part of a URL."""
    if any(part in {"", ".", ".."} for part in model.split("/")):
        raise InvalidRequestError(f"{model!r} is no model id; one looks like 'owner/name'")


def check_url(url: str, source: str = "api_url") -> None:
    """Raise `InvalidRequestError` if `url` is not an http or https URL to send requests to."""
    if not isinstance(url, str):
        raise InvalidRequestError(f"{source} must be a string, not {type(url).__name__}")
    _check(url, source)


@cache_by_url
def _check(url: str, source: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidRequestError(f"{source} is no URL: {url.rpartition('@')[2]!r}") from None
    if parts.username is not None or parts.password is not None:
        # Not shown: what stands there is a secret.
        raise InvalidRequestError(
            f"{source} must not hold a user name or password; pass api_key= or headers= instead"
        )
    if parts.scheme not in _DEFAULT_PORTS or not host or not _HOST.fullmatch(host):
        shown = url.rpartition("@")[2]
        raise InvalidRequestError(
            f"{source} must start with http:// or https:// and name a host, not {shown!r}"
        )
    if not url.isprintable() or " " in url:
        raise InvalidRequestError(f"{source} must not hold spaces or control characters: {url!r}")
    if host in _RETIRED:
        raise InvalidRequestError(
            f"{host} is gone (it answers 410); its successor is {_RETIRED[host]}"
        )


def encode_url(url: str) -> str:
    """Return the URL as it goes over the wire: other characters than ASCII's encoded."""
    if url.isascii():
        return url
    parts = urlsplit(url)
    # An address in brackets is ASCII, and its colons begin no port.
    host, *port = [parts.netloc] if parts.netloc.isascii() else parts.netloc.partition(":")
    try:
        host = host.encode("idna").decode()
    except UnicodeError:
        raise InvalidRequestError(f"{parts.hostname!r} is no name of a host") from None
    path, query = (quote(part, safe=_RESERVED) for part in (parts.path, parts.query))
    return urlunsplit((parts.scheme, "".join([host, *port]), path, query, ""))


@cache_by_url
def extend_url(url: str, route: str) -> str:
    """Return the URL with this route at the end of its path."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{route}"))


@cache_by_url
def replace_route(url: str, name: str) -> str:
    """Return the URL with this name in place of the last part of its path."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/').rpartition('/')[0]}/{name}"))


@cache_by_url
def is_router(url: str) -> bool:
    """Tell whether the URL is that of Hugging Face's router."""
    return urlsplit(url).hostname == "router.huggingface.co"


@cache_by_url
def is_endpoint(url: str) -> bool:
    """Tell whether the URL is that of an Inference Endpoint, which may be asleep."""
    return (urlsplit(url).hostname or "").endswith(".endpoints.huggingface.cloud")


def redact_url(url: str) -> str:
    """Return the URL without what may be secret in it: credentials, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def may_carry_credentials(source: str, target: str) -> bool:
    """Tell whether what was meant for `source` may follow a redirect to `target`.

    It may to the same origin, and from http to https on the same host.
    """
    a, b = urlsplit(source), urlsplit(target)
    if a.hostname != b.hostname:
        return False
    ports = [_DEFAULT_PORTS.get(p.scheme) if p.port is None else p.port for p in (a, b)]
    upgraded = (a.scheme, b.scheme) == ("http", "https") and ports == [80, 443]
    return upgraded or (a.scheme == b.scheme and ports[0] == ports[1])
