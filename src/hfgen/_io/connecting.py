"""How a client makes its connections: the options that a pool depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hfgen._core.errors import InvalidRequestError
from hfgen._io import proxy as _proxy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

    from hfgen._io.proxy import Proxy

NAMES = ("proxy", "ssl")


class ConnectionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a client that no call of it can change; immutable."""

    proxy: Proxy | Literal[False] | None = None
    ssl: SSLContext | None = None

    def proxy_for(self, url: str) -> Proxy | None:
        """Return the proxy that a request goes through, None if it goes straight.

        Raises:
            InvalidRequestError: The environment names a proxy that cannot be used.
        """
        if self.proxy is None:
            return _proxy.proxy_from_environment(url)
        return self.proxy or None


def split_connection_options(
    options: Mapping[str, Any],
) -> tuple[ConnectionOptions, dict[str, Any]]:
    """Return what connections are made by, and the options that are left.

    Raises:
        InvalidRequestError: An option's value cannot be used, or would not be.
    """
    rest = {name: value for name, value in options.items() if name not in NAMES}
    given = {name: options[name] for name in NAMES if options.get(name) is not None}
    if given and rest.get("fetch") is not None:
        raise InvalidRequestError(
            f"{' and '.join(given)} would have no effect beside fetch, which makes the connections"
        )
    checked: dict[str, Any] = {name: _CHECKS[name](value) for name, value in given.items()}
    return ConnectionOptions(**checked), rest


def _proxy_option(value: Any) -> Proxy | Literal[False]:
    return False if value is False else _proxy.parse_proxy(value)


def _ssl_option(value: Any) -> SSLContext:
    from hfgen._io import tls as _tls  # noqa: PLC0415 - imports ssl

    return _tls.check_ssl(value)


_CHECKS = {"proxy": _proxy_option, "ssl": _ssl_option}
