"""`ConnectionOptions`: what a client's pool of connections depends on, `proxy=` and `ssl=`."""

from __future__ import annotations

import os
import ssl
import sys
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from hfgen._core.errors import InvalidRequestError
from hfgen._io.environment import read_variable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext


NAMES = ("proxy", "ssl")


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy.

    Attributes:
        url: Its URL, without user and password.
        authorization: The value of `proxy-authorization`, None if it needs none.
    """

    url: str
    authorization: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers for the proxy only."""
        return {"proxy-authorization": self.authorization} if self.authorization else {}

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"Proxy(url={self.url!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        # The default of msgspec shows all fields.
        return [("url", self.url)]


class ConnectionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a client that a call cannot change; immutable."""

    proxy: Proxy | Literal[False] | None = None
    ssl: SSLContext | None = None

    def proxy_for(self, url: str) -> Proxy | None:
        """Return the proxy for a request to this URL, None if it needs none.

        Raises:
            InvalidRequestError: The environment names a proxy that cannot be used.
        """
        if self.proxy is None:
            return proxy_from_environment(url)
        return self.proxy or None


def split_connection_options(
    options: Mapping[str, Any],
) -> tuple[ConnectionOptions, dict[str, Any]]:
    """Return the options of connections, and the other options.

    Raises:
        InvalidRequestError: A value cannot be used, or would have no effect; or `SSLKEYLOGFILE`
            names a file that cannot be written.
    """
    check_key_log()
    rest = {name: value for name, value in options.items() if name not in NAMES}
    present = {name: options[name] for name in NAMES if options.get(name) is not None}
    if present and rest.get("fetch") is not None:
        raise InvalidRequestError(
            f"{' and '.join(present)} would have no effect: fetch makes the connections"
        )
    checked: dict[str, Any] = {name: _CHECKS[name](value) for name, value in present.items()}
    return ConnectionOptions(**checked), rest


def _proxy_option(value: Any) -> Proxy | Literal[False]:
    return False if value is False else parse_proxy(value)


_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAMES = {
    scheme: (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    for scheme in _DEFAULT_PORTS
}


def parse_proxy(value: object, name: str = "proxy") -> Proxy:
    """Return the proxy at a URL. A URL without a scheme means plain HTTP.

    Args:
        value: The URL.
        name: The name of the option or variable, for the error.

    Raises:
        InvalidRequestError: The value is no URL of an HTTP proxy. The message does not show it,
            because it may hold a password.
    """
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a URL, not {type(value).__name__}")
    value = value.strip()
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidRequestError(f"{name} is no URL") from None
    if parts.scheme.startswith("socks"):
        raise InvalidRequestError(
            f"{name} names a SOCKS proxy, which hfgen does not speak; "
            "httpx does: fetch=hfgen.fetch.from_httpx(httpx.Client(proxy=...))"
        )
    is_plain = value.isascii() and value.isprintable() and " " not in value
    if parts.scheme not in _DEFAULT_PORTS or not host or not is_plain:
        raise InvalidRequestError(f"{name} must look like http://[user:password@]host:port")
    shown = f"[{host}]" if ":" in host else host
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(pair.encode()).decode()}"
    return Proxy(f"{parts.scheme}://{shown}:{port or _DEFAULT_PORTS[parts.scheme]}", authorization)


def proxy_from_environment(url: str) -> Proxy | None:
    """Return the proxy that the environment names for a URL, None if there is none.

    `HTTPS_PROXY`, `HTTP_PROXY`, then `ALL_PROXY`, and `NO_PROXY`, in either case, as
    `urllib.request` reads them: `NO_PROXY` lists hosts, domains (their subdomains included) and
    host:port, or is `*`. It may also list networks (`10.0.0.0/8`), as in curl and Go, and IPv6
    addresses in brackets. Loopback hosts are no exception.

    Raises:
        InvalidRequestError: A variable names no HTTP proxy.
    """
    # Checked first, because urllib reads the whole environment, which is slow.
    names = _NAMES.get(url.partition(":")[0].lower(), ())
    if not any(map(read_variable, names)):
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
    forms = (host, f"{host}:{port}", f"[{host}]:{port}")
    if any(bypass(form, proxies) for form in forms) or _is_in_networks(host, proxies.get("no", "")):
        return None
    return parse_proxy(proxies[kind], f"{kind.upper()}_PROXY")


def _is_in_networks(host: str, no_proxy: str) -> bool:
    """Tell whether a host is an address in one of the networks of `NO_PROXY`."""
    import ipaddress  # noqa: PLC0415 - rarely needed

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for name in no_proxy.split(","):
        # Other names than addresses and networks are no error here.
        with suppress(ValueError):
            if address in ipaddress.ip_network(name.strip(" []"), strict=False):
                return True
    return False


def check_key_log() -> None:
    """Check that the file that `SSLKEYLOGFILE` names can be written, if it is set.

    `ssl` opens it for each context, and aiohttp makes contexts when it is imported. Both raise a
    bare OSError.

    Raises:
        InvalidRequestError: It cannot be written.
    """
    path = os.environ.get("SSLKEYLOGFILE")
    if not path or sys.flags.ignore_environment:
        return
    try:
        with open(path, "ab"):  # noqa: PTH123 - as ssl opens it
            pass
    except OSError as error:
        raise InvalidRequestError(
            f"SSLKEYLOGFILE names {path!r}, which cannot be written ({error.strerror}): "
            "unset the variable, or name another file"
        ) from error


def check_ssl(value: object) -> ssl.SSLContext:
    """Return the context for a value of `ssl=`.

    Raises:
        InvalidRequestError: There is none for it.
    """
    if isinstance(value, ssl.SSLContext):
        if value.protocol == ssl.PROTOCOL_TLS_SERVER:
            raise InvalidRequestError("ssl is a context for servers; clients need another")
        return value
    if value is False:
        raise InvalidRequestError(
            "ssl=False would send the key to any server that answers; if you mean that, pass an "
            "ssl.SSLContext with check_hostname=False and verify_mode=ssl.CERT_NONE"
        )
    if isinstance(value, bool) or not isinstance(value, str | os.PathLike):
        raise InvalidRequestError(
            "ssl must be an ssl.SSLContext, or the path of a file or directory of the "
            f"certificates to trust, not {type(value).__name__}"
        )
    # An empty path would mean the system's certificates to ssl.
    path = os.fspath(value) or os.devnull
    parameter = "capath" if os.path.isdir(path) else "cafile"  # noqa: PTH112 - it may be bytes
    try:
        return ssl.create_default_context(**{parameter: path})  # type: ignore[arg-type]
    except OSError as error:
        raise InvalidRequestError(f"ssl: no certificates in {value!r}: {error}") from error


def default_context() -> ssl.SSLContext:
    """Return a context that trusts the system, or `SSL_CERT_FILE` and `SSL_CERT_DIR`.

    Raises:
        InvalidRequestError: `SSLKEYLOGFILE` names a file that cannot be written.
    """
    check_key_log()
    return ssl.create_default_context()


_CHECKS = {"proxy": _proxy_option, "ssl": check_ssl}
