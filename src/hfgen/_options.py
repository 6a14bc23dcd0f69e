"""The options of a call and of a client, and how one overrides the other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from os import PathLike
from ssl import SSLContext  # noqa: TC003 - typing.get_type_hints reads it
from threading import TIMEOUT_MAX
from typing import Any, Literal, TypedDict

from hfgen._connecting import NAMES as CLIENT_ONLY
from hfgen._credentials import checked_key
from hfgen._errors import InvalidRequestError
from hfgen._fetch import AsyncFetch, Fetch  # noqa: TC001 - typing.get_type_hints reads them
from hfgen._headers import Headers
from hfgen._retry import DEFAULT_MAX_RETRIES
from hfgen._signal import AbortSignal
from hfgen._url import DEFAULT_API_URL, check, display

# Five minutes more than the hosted API takes at most, and what other clients wait.
DEFAULT_TIMEOUT = 600.0


class _CommonOptions(TypedDict, total=False):
    api_key: str | None
    """The key. Default: `HF_TOKEN` and its kin, sent to Hugging Face's own hosts only. A key
    passed here goes to whatever host `api_url` names. It never follows a redirect elsewhere."""
    api_url: str | None
    """Where to post: used as it stands; if it ends with `/models/` the model id is appended.
    Default: `HFGEN_API_URL`, else `https://router.huggingface.co/hf-inference/models/`."""
    headers: Mapping[str, str] | None
    """More headers, over the defaults (but not `content-type`)."""
    signal: AbortSignal | None
    """Aborts the call from anywhere."""
    timeout: float | None
    """Seconds to wait for the connection (at most 10 of them), then for each read. Default 600;
    None means no limit."""
    max_retries: int | None
    """How often to try again before the first byte of an answer: after a failed connection and
    408, 429, 502, 503, 504. Default 2."""


class Options(_CommonOptions, total=False):
    """What each call, and `Client`, takes by keyword. None means: not given."""

    fetch: Fetch | None
    """A callable in place of the transport: takes a `FetchRequest`, returns a `FetchResponse`."""


class AsyncOptions(_CommonOptions, total=False):
    """What each async call, and `AsyncClient`, takes by keyword. None means: not given."""

    fetch: AsyncFetch | None
    """A callable in place of the transport: takes a `FetchRequest`, and awaited returns a
    `FetchResponse` whose body is an async iterable of bytes."""


class _ConnectingOptions(TypedDict, total=False):
    proxy: str | Literal[False] | None
    """The proxy for every request, `http://[user:password@]host:port`; False for none. Default:
    `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`."""
    ssl: SSLContext | str | PathLike[str] | None
    """An `ssl.SSLContext`, or the path of a file or directory of the certificates to trust.
    Default: the system's, or `SSL_CERT_FILE` and `SSL_CERT_DIR`."""


class ClientOptions(Options, _ConnectingOptions, total=False):
    """What `Client` takes by keyword: what a call takes, and what its connections depend on."""


class AsyncClientOptions(AsyncOptions, _ConnectingOptions, total=False):
    """What `AsyncClient` takes by keyword: as `ClientOptions`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options with their defaults filled in; immutable."""

    api_key: str | None = None
    api_url: str | None = None
    fetch: Any = None
    headers: Headers = field(default_factory=lambda: Headers({}))
    signal: AbortSignal | None = None
    timeout: float | None = DEFAULT_TIMEOUT
    max_retries: int = DEFAULT_MAX_RETRIES

    def override(self, options: Mapping[str, Any]) -> Settings:
        """Return a copy with what is given; headers are added to those that are there.

        Raises:
            TypeError: There is no option of that name.
            InvalidRequestError: An option's value cannot be used.
        """
        for name in options:
            if name in CLIENT_ONLY:
                raise TypeError(
                    f"{name} is an option of Client and AsyncClient, not of a call or a copy, "
                    f"which share connections: make a client with it, Client({name}=...)"
                )
            if name not in _CHECKS:
                near = get_close_matches(name, _CHECKS, n=1)
                hint = (
                    f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(_CHECKS)}"
                )
                raise TypeError(f"unknown option {name!r}{hint}")
        given = {n: v for n, v in options.items() if v is not None or n == "timeout"}
        checked = {name: _CHECKS[name](value) for name, value in given.items()}
        if "headers" in checked:
            checked["headers"] = self.headers | checked["headers"]
        return replace(self, **checked)

    @property
    def url(self) -> str:
        """Where to post, before a model id is appended."""
        return self.api_url or os.environ.get("HFGEN_API_URL") or DEFAULT_API_URL

    def __repr__(self) -> str:
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.api_key is not None:
            shown["api_key"] = "***"
        if self.api_url is not None:
            shown["api_url"] = display(self.api_url)
        unset = Settings()
        return ", ".join(f"{n}={v!r}" for n, v in shown.items() if v != getattr(unset, n))


def _api_key(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"api_key must be a string, not {type(value).__name__}")
    return checked_key(value.strip(), "api_key")


def _api_url(value: Any) -> str:
    check(value)
    return str(value)


def _fetch(value: Any) -> Any:
    if not callable(value):
        raise InvalidRequestError(f"fetch must be callable, not {type(value).__name__}")
    return value


def _headers(value: Any) -> Headers:
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"headers must be a mapping, not {type(value).__name__}")
    for name, content in value.items():
        if not isinstance(name, str) or not isinstance(content, str):
            raise InvalidRequestError(f"headers must map strings to strings; see {name!r}")
        if not name.isascii() or not name.isprintable() or set(name) & set(" :") or not name:
            raise InvalidRequestError(f"{name!r} is no name for a header")
        if not content.isascii() or not content.replace("\t", " ").isprintable():
            raise InvalidRequestError(f"the value of header {name!r} must be printable ASCII")
    return Headers(value)


def _signal(value: Any) -> AbortSignal:
    if not isinstance(value, AbortSignal):
        raise InvalidRequestError(
            f"signal must be an AbortSignal (AbortController().signal), not {type(value).__name__}"
        )
    return value


def _timeout(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidRequestError(f"timeout must be seconds above 0, or None, not {value!r}")
    return float(value) if value < TIMEOUT_MAX else None


def _max_retries(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidRequestError(f"max_retries must be a whole number from 0, not {value!r}")
    return value


_CHECKS = {
    "api_key": _api_key,
    "api_url": _api_url,
    "fetch": _fetch,
    "headers": _headers,
    "signal": _signal,
    "timeout": _timeout,
    "max_retries": _max_retries,
}
