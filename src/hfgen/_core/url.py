"""URLs: checks, the model in a URL, routes of a server, and what a message may show of a URL."""

from __future__ import annotations

import re
import string
from functools import lru_cache
from urllib.parse import quote, urlsplit, urlunsplit

from hfgen._core.errors import InvalidRequestError

DEFAULT_API_URL = "https://router.huggingface.co/hf-inference/models/"

# Hosts that answer 410, and the URL that their answers name in their place.
_RETIRED = {"api-inference.huggingface.co": DEFAULT_API_URL}
# A name in any script, or an IPv6 address. Parsers of URLs disagree about other characters.
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+(%[0-9A-Za-z_]+)?")
_RESERVED = string.punctuation
_DEFAULT_PORTS = {"http": 80, "https": 443}
# For functions of a URL. A program uses few URLs, and each call would parse its own several times.
cache_by_url = lru_cache(maxsize=256)


def resolve_url(api_url: str, model: str | None, source: str = "api_url") -> tuple[str, bool]:
    """Return the URL to post to, and whether the model is part of it.

    Raises:
        InvalidRequestError: The URL is invalid, or needs a model and there is none.
    """
    check_url(api_url, source)
    api_url = encode_url(api_url)
    if not api_url.endswith("/models/"):
        return api_url, False
    if not model:
        raise InvalidRequestError(
            'the request needs a `model`: pass model="owner/name", or set HFGEN_MODEL. It goes to '
            f"{redact_url(api_url)}; for a server of your own, pass api_url=, or set HFGEN_API_URL "
            "(`hfgen serve` starts one)"
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
    _check_url(url, source)


@cache_by_url
def _check_url(url: str, source: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidRequestError(f"{source} is no URL: {_without_secrets(url)!r}") from None
    if parts.username is not None or parts.password is not None:
        # The message does not show the URL, which holds a secret.
        raise InvalidRequestError(
            f"{source} must not hold a user name or password; pass api_key= or headers= instead"
        )
    if parts.scheme not in _DEFAULT_PORTS or not host or not _HOST.fullmatch(host):
        raise InvalidRequestError(
            f"{source} must start with http:// or https:// and name a host, "
            f"not {_without_secrets(url)!r}"
        )
    if not url.isprintable() or " " in url:
        raise InvalidRequestError(
            f"{source} must not hold spaces or control characters: {_without_secrets(url)!r}"
        )
    if host in _RETIRED:
        raise InvalidRequestError(
            f"{host} is gone (it answers 410); its successor is {_RETIRED[host]}"
        )


def encode_url(url: str) -> str:
    """Return the URL as it is sent, with all characters beyond ASCII encoded."""
    if url.isascii():
        return url
    parts = urlsplit(url)
    # In an IPv6 address colons do not begin a port. Such a host is ASCII already.
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
    """Return the URL with the last part of its path replaced by this name."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/').rpartition('/')[0]}/{name}"))


@cache_by_url
def is_router(url: str) -> bool:
    """Tell whether the host is Hugging Face's router."""
    return urlsplit(url).hostname == "router.huggingface.co"


@cache_by_url
def is_endpoint(url: str) -> bool:
    """Tell whether the host is an Inference Endpoint, which may be asleep."""
    return (urlsplit(url).hostname or "").endswith(".endpoints.huggingface.cloud")


def redact_url(url: str) -> str:
    """Return the URL without the parts that may be secret: credentials, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _without_secrets(url: str) -> str:
    """Return what `redact_url` does, as far as it can be told of a text that is no URL."""
    return re.split("[?#]", url.rpartition("@")[2])[0]


def may_carry_credentials(source: str, target: str) -> bool:
    """Tell whether credentials for `source` may be sent to `target` after a redirect.

    They may be sent to the same origin, and from http to https on the same host.
    """
    a, b = urlsplit(source), urlsplit(target)
    if a.hostname != b.hostname:
        return False
    ports = [_DEFAULT_PORTS.get(p.scheme) if p.port is None else p.port for p in (a, b)]
    upgraded = (a.scheme, b.scheme) == ("http", "https") and ports == [80, 443]
    return upgraded or (a.scheme == b.scheme and ports[0] == ports[1])
