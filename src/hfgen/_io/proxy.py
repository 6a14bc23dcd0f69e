"""Proxies: what the caller or the environment names, and which URL goes through which."""

from __future__ import annotations

import os
from base64 import b64encode
from urllib.parse import unquote, urlsplit

import msgspec

from hfgen._core.errors import InvalidRequestError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAMES = {
    scheme: (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    for scheme in _DEFAULT_PORTS
}


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy.

    Attributes:
        url: Where it is, without the user and the password.
        authorization: The value of `proxy-authorization`, None if it asks for none.
    """

    url: str
    authorization: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that are for the proxy only."""
        return {"proxy-authorization": self.authorization} if self.authorization else {}

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"Proxy(url={self.url!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        # msgspec's own has all fields.
        return [("url", self.url)]


def parse_proxy(value: object, what: str = "proxy") -> Proxy:
    """Return the proxy that a URL names; one without a scheme is spoken to in plain HTTP.

    Raises:
        InvalidRequestError: It names none, or one of a kind that is not spoken. The message does
            not show the value, which may hold a password.
    """
    if not isinstance(value, str):
        raise InvalidRequestError(f"{what} must be a URL, not {type(value).__name__}")
    value = value.strip()
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidRequestError(f"{what} is no URL") from None
    if parts.scheme.startswith("socks"):
        raise InvalidRequestError(
            f"{what} names a SOCKS proxy, which hfgen does not speak; "
            "httpx does: fetch=hfgen.fetch.from_httpx(httpx.Client(proxy=...))"
        )
    is_plain = value.isascii() and value.isprintable() and " " not in value
    if parts.scheme not in _DEFAULT_PORTS or not host or not is_plain:
        raise InvalidRequestError(f"{what} must look like http://[user:password@]host:port")
    shown = f"[{host}]" if ":" in host else host
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(pair.encode()).decode()}"
    return Proxy(f"{parts.scheme}://{shown}:{port or _DEFAULT_PORTS[parts.scheme]}", authorization)


def proxy_from_environment(url: str) -> Proxy | None:
    """Return the proxy that the environment names for a URL, None if it is to go without.

    `HTTPS_PROXY`, `HTTP_PROXY`, then `ALL_PROXY`, and `NO_PROXY`, in either case, as
    `urllib.request` reads them: `NO_PROXY` lists hosts, domains (their subdomains included) and
    host:port, or is `*`. A loopback host is a host like any other.

    Raises:
        InvalidRequestError: A variable names no HTTP proxy.
    """
    # The library reads all of the environment, which takes longer than the rest of a request.
    names = _NAMES.get(url.partition(":")[0].lower(), ())
    if not any(os.environ.get(name) for name in names):
        return None
    from urllib import request as library  # noqa: PLC0415 - not cheap

    parts = urlsplit(url)
    proxies = library.getproxies_environment()
    kind = parts.scheme if parts.scheme in proxies else "all"
    if kind not in proxies:
        return None
    host = parts.hostname or ""
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    bypass = library.proxy_bypass_environment  # type: ignore[attr-defined] # typeshed lacks it
    if bypass(host, proxies) or bypass(f"{host}:{port}", proxies):
        return None
    return parse_proxy(proxies[kind], f"{kind.upper()}_PROXY")
