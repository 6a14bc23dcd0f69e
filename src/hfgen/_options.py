"""The options that calls and clients take: their types, their checks, and how they combine."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from os import PathLike  # noqa: TC003 - typing.get_type_hints reads it
from ssl import SSLContext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar

from msgspec.structs import replace

from hfgen._core.errors import HfgenError, InvalidRequestError
from hfgen._core.fetch import AsyncFetch, Fetch  # noqa: TC001 - typing.get_type_hints reads them
from hfgen._core.headers import FRAMING_HEADERS, Headers
from hfgen._core.providers import PROVIDER_NAMES
from hfgen._core.request import (
    PARAMETERS,
    GenerateParameters,
    find_parameter,
    normalize_request,
)
from hfgen._core.retry import Retry
from hfgen._core.settings import Settings, check_key
from hfgen._core.timeout import Timeout
from hfgen._core.url import check_url
from hfgen._io.connecting import NAMES as CLIENT_ONLY
from hfgen._io.environment import ENVIRONMENT
from hfgen._io.signal import AbortSignal

if TYPE_CHECKING:
    from hfgen._core.request import AnyRequest

DIALECTS = ("auto", "tgi", "completions")
# An entry in the "Attributes:" of a docstring: its name, and its first sentence.
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.+?\.)(?=\s)", re.DOTALL | re.MULTILINE)

_F = TypeVar("_F", bound=Callable[..., Any])

# What `wait_for_model=True` means, in seconds.
_WAIT_FOR_MODEL = 600.0


OnRetry: TypeAlias = Callable[[int, float, HfgenError], object]
"""Called before each wait with the number of the attempt, the seconds to wait, and the error."""


class PortableOptions(TypedDict, total=False):
    """Options that can be sent to other processes, and used with every server.

    Attributes:
        api_key: The key. A key passed here is sent to the host of `api_url`, whichever it is.
            Default: `HFGEN_API_KEY`, sent to the server of `HFGEN_API_URL` only (without that
            variable to that of `api_url`); or `HF_TOKEN`, or the key that `hf auth login` has
            stored, sent to Hugging Face's own hosts only. No key follows a redirect to another
            host.
        headers: Headers to add, or to send in place of the defaults (but not `content-type`).
        timeout: A `Timeout`, or the seconds for each of its phases but `total`; None means no
            limit. Default: 10 s to connect, 600 s to the first token, 60 s between tokens.
        max_retries: How often to try again before the first token; short for
            `Retry(max_retries=...)`.
        retry: When to try again before the first token. Default: `Retry()`.
        wait_for_model: Seconds during which to wait for a model that is loading or an endpoint that
            is waking up; True means 600. Endpoints are asked to hold the request for as long
            (`X-Scale-Up-Timeout`).
        resume: Whether `stream` and `stream_tokens` go on with a stream that breaks after some
            tokens: they send the prompt with the text so far, and continue where the stream
            stopped. Default: False.
        dialect: The dialect that the server speaks: TGI's own, or OpenAI-compatible completions.
            Default: "auto", which goes by the URL, or else asks the server once.
        provider: The provider that serves the model, of those behind Hugging Face's router
            ("together", "novita", ...), in place of `api_url`. With an `hf_` key requests go
            through the router, with the provider's own key to the provider's own host. Each call
            needs a `model`.
        bill_to: The organisation that pays, where requests go through the router (`X-HF-Bill-To`).
        max_event_bytes: The maximum of bytes in one event of a stream. If the server sends more, or
            never ends an event, the call raises `MalformedStreamError`. Default: 16 MiB.
    """

    api_key: str | None
    headers: Mapping[str, str] | None
    timeout: float | Timeout | None
    max_retries: int | None
    retry: Retry | None
    wait_for_model: bool | float | None
    resume: bool | None
    dialect: Literal["auto", "tgi", "completions"] | None
    provider: str | None
    bill_to: str | None
    max_event_bytes: int | None


class CommonOptions(PortableOptions, total=False):
    """Options of both sync and async calls.

    Attributes:
        api_url: The URL to post to. If it ends with `/models/`, the id of the model is appended.
            Default: `HFGEN_API_URL`, else `https://router.huggingface.co/hf-inference/models/`.
        signal: Aborts the call when `AbortController.abort` is called, from any thread.
        on_retry: Called before each wait with the number of the attempt that failed, the seconds to
            wait, and the error.
    """

    api_url: str | None
    signal: AbortSignal | None
    on_retry: OnRetry | None


class CallOptions(CommonOptions, total=False):
    """The keyword arguments of `info` and `tokenize`. None means: not given.

    Attributes:
        fetch: Sends requests in place of hfgen: takes a `FetchRequest`, returns a `FetchResponse`.
    """

    fetch: Fetch | None


class AsyncCallOptions(CommonOptions, total=False):
    """The keyword arguments of async `info` and `tokenize`. None means: not given.

    Attributes:
        fetch: Sends requests in place of hfgen: takes a `FetchRequest`, returns an awaitable of a
            `FetchResponse` whose body is an async iterable of bytes.
    """

    fetch: AsyncFetch | None


class RequestOptions(GenerateParameters, total=False):
    """Parts of a request as keyword arguments: the model, and each of `GenerateParameters`.

    Those of a call override those of its request. Those of a client, and of `generate_many`, are
    for requests that leave them out.

    Attributes:
        model: Id of the model, `owner/name`. Default: `HFGEN_MODEL`, else none.
    """

    model: str | None


class Options(RequestOptions, CallOptions, total=False):
    """The keyword arguments of each verb and of `Client`. None means: not given."""


class AsyncOptions(RequestOptions, AsyncCallOptions, total=False):
    """The keyword arguments of each async verb and of `AsyncClient`. None means: not given."""


class ConnectingOptions(TypedDict, total=False):
    """Options of a client's connections.

    Attributes:
        proxy: The proxy for every request, `http://[user:password@]host:port`; False for none.
            Default: as `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
        ssl: An `ssl.SSLContext`, or the path of a file or directory of the certificates to trust.
            Default: the system's, or `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    """

    proxy: str | Literal[False] | None
    ssl: SSLContext | str | PathLike[str] | None


class RemoteOptions(PortableOptions, ConnectingOptions, total=False):
    """Keyword arguments of `hfgen.ray.generate`, for the clients in other processes.

    If `ssl` is a path, it is one on the machines of these processes.
    """


_DESCRIBED = (
    PortableOptions,
    CommonOptions,
    CallOptions,
    GenerateParameters,
    RequestOptions,
    ConnectingOptions,
)


class ClientOptions(Options, ConnectingOptions, total=False):
    """The keyword arguments of `Client`: those of a call, and those of its connections."""


class AsyncClientOptions(AsyncOptions, ConnectingOptions, total=False):
    """The keyword arguments of `AsyncClient`: as `ClientOptions`."""


class _NotGiven:
    """The default of an option in a signature. It is never passed."""

    def __repr__(self) -> str:
        return "..."


_NOT_GIVEN = _NotGiven()


def show_options(kind: type) -> Callable[[_F], _F]:
    """Show the options by name in the signature and the help of a function, in place of `**`.

    Args:
        kind: The `TypedDict` of the options.
    """

    def show(function: _F) -> _F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        options, lines = _describe_options(kind)
        function.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        own_text = inspect.cleandoc(function.__doc__ or "")
        function.__doc__ = f"{own_text}\n\nOptions:\n{lines}"
        return function

    return show


@cache
def _describe_options(kind: Any) -> tuple[list[inspect.Parameter], str]:
    """Return the options as parameters of a signature, and a line of help for each."""
    texts: dict[str, str] = {}
    for described in (*_DESCRIBED, kind):
        # The first sentence of each entry under "Attributes:".
        for match in _ATTRIBUTE.finditer(f"{inspect.cleandoc(described.__doc__ or '')}\n"):
            texts[match[1]] = " ".join(match[2].split())
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_NOT_GIVEN,
            annotation=getattr(annotation, "__forward_arg__", annotation),
        )
        for name, annotation in kind.__annotations__.items()
    ]
    lines = (f"    {o.name}: {texts.get(o.name, '')}" for o in options)
    return options, "\n".join(lines)


def override_settings(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """Return a copy of the settings with these options; headers are added to those in the settings.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: An option's value cannot be used.
    """
    if not options:
        return settings
    for name in options:
        if name not in _CHECKS:
            raise TypeError(_describe_unknown_option(name))
    given = {n: v for n, v in options.items() if v is not None or n == "timeout"}
    checked = {name: _CHECKS[name](value) for name, value in given.items()}
    if "headers" in checked:
        checked["headers"] = settings.headers | checked["headers"]
    # Each names a server, so the one that is passed now replaces the other in the settings.
    if {"api_url", "provider"} <= checked.keys():
        raise InvalidRequestError("api_url and provider exclude each other: pass one of them")
    if "provider" in checked:
        checked["api_url"] = None
    elif "api_url" in checked:
        checked["provider"] = None
    # These two change the `Retry` that is passed along with them, or that of the settings.
    changes = {n: checked.pop(n) for n in ("max_retries", "wait_for_model") if n in checked}
    if changes:
        checked["retry"] = replace(checked.get("retry", settings.retry), **changes)
    return replace(settings, **checked)


def override_client_settings(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """Return a copy of the settings with these options of a client.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: An option's value cannot be used.
    """
    fields, rest = split_request_options(options)
    settings = override_settings(settings, rest)
    if not fields:
        return settings
    # The prompt is only there to make it a request, which can be checked.
    defaults = normalize_request(
        {"inputs": "", **fields}, _make_defaults(settings.model, settings.parameters)
    )
    return replace(settings, model=defaults.get("model"), parameters=defaults.get("parameters", {}))


def collect_options(settings: Settings, connection: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with which another client has the same settings, to pickle them.

    Args:
        settings: The settings of the client.
        connection: Its options for connections, as they were passed.

    Raises:
        TypeError: Another process could not have one of them.
    """
    if settings.signal is not None:
        raise TypeError("a client with signal= cannot be pickled: its signal is of this process")
    if isinstance(connection.get("ssl"), SSLContext):
        raise TypeError(
            "a client with an ssl.SSLContext cannot be pickled: pass ssl= the path of certificates"
        )
    options = settings.to_options()
    parameters = options.pop("parameters", {})
    return {**options, **parameters, **connection}


def split_request_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options that are parts of a request, in its shape, and the other options."""
    fields: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in options.items():
        if name not in _REQUEST_OPTIONS:
            rest[name] = value
        elif name == "model" and value is not None:
            fields["model"] = value
        elif value is not None:
            fields.setdefault("parameters", {})[name] = value
    return fields, rest


def complete_request(
    request: AnyRequest, settings: Settings, overrides: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Return the normalised request, with what it leaves out filled in from the settings.

    Args:
        request: The request.
        settings: The options of the client, with the model and the parameters of requests that
            have none.
        overrides: What replaces the model and parameters of the request, in the shape of one.

    Raises:
        InvalidRequestError: The request cannot be sent.
    """
    model, parameters = settings.model or ENVIRONMENT.model, settings.parameters
    defaults = _make_defaults(model, parameters) if model or parameters else {}
    body = normalize_request(request, defaults, overrides)
    names = body.get("parameters", ())
    if not PARAMETERS.issuperset(names):
        for name in names:
            if name not in PARAMETERS and (parameter := find_parameter(name)):
                _warn(f"`parameters` has {name!r}, sent as it is; did you mean {parameter!r}?")
    return body


def _make_defaults(model: str | None, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the model and the parameters in the shape of a request."""
    defaults: dict[str, Any] = {} if model is None else {"model": model}
    return defaults | {"parameters": parameters} if parameters else defaults


def _warn(message: str) -> None:
    """Warn, once for each line of the caller's code: the first line outside of hfgen."""
    frame, level = sys._getframe(), 1  # noqa: SLF001 - as `warnings` itself finds the line
    while frame.f_back is not None and _is_own(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == "hfgen"


def _describe_unknown_option(name: str) -> str:
    if name in CLIENT_ONLY:
        return (
            f"{name} is an option of Client and AsyncClient, not of a call or a copy, "
            f"which share connections: make a client with it, Client({name}=...)"
        )
    if name in _REQUEST_OPTIONS:
        return f"{name} is part of a request for text, and this call sends none"
    from difflib import get_close_matches  # noqa: PLC0415 - rarely needed

    near = find_parameter(name) or next(iter(get_close_matches(name, _CHECKS, n=1)), None)
    if near is not None:
        return f"unknown option {name!r}; did you mean {near!r}?"
    names = ", ".join(_CHECKS)
    return f"unknown option {name!r}; there are {names}, model, and the parameters of a request"


def _check_api_key(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"api_key must be a string, not {type(value).__name__}")
    return check_key(value.strip(), "api_key")


def _check_api_url(value: Any) -> str:
    check_url(value)
    return str(value)


def _check_fetch(value: Any) -> Any:
    if not callable(value):
        raise InvalidRequestError(f"fetch must be callable, not {type(value).__name__}")
    return value


def _check_headers(value: Any) -> Headers:
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"headers must be a mapping, not {type(value).__name__}")
    for name, content in value.items():
        if not isinstance(name, str) or not isinstance(content, str):
            raise InvalidRequestError(f"headers must map strings to strings; see {name!r}")
        if not name.isascii() or not name.isprintable() or set(name) & set(" :") or not name:
            raise InvalidRequestError(f"{name!r} cannot be the name of a header")
        if name.lower() in FRAMING_HEADERS:
            # A wrong length makes the rest of the body a second request.
            raise InvalidRequestError(f"the header {name!r} follows from the body; leave it out")
        if not content.isascii() or not content.replace("\t", " ").isprintable():
            raise InvalidRequestError(f"the value of header {name!r} must be printable ASCII")
    return Headers(value)


def _check_signal(value: Any) -> AbortSignal:
    if not isinstance(value, AbortSignal):
        raise InvalidRequestError(
            f"signal must be an AbortSignal (AbortController().signal), not {type(value).__name__}"
        )
    return value


def _check_retry(value: Any) -> Retry:
    if not isinstance(value, Retry):
        raise InvalidRequestError(f"retry must be a Retry, not {type(value).__name__}")
    return value


def _check_max_retries(value: Any) -> int:
    return Retry(max_retries=value).max_retries


def _check_wait_for_model(value: Any) -> float:
    if isinstance(value, bool):
        return _WAIT_FOR_MODEL if value else 0.0
    return Retry(wait_for_model=value).wait_for_model


def _check_on_retry(value: Any) -> Any:
    if not callable(value):
        raise InvalidRequestError(f"on_retry must be callable, not {type(value).__name__}")
    return value


def _check_resume(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequestError(f"resume must be True or False, not {value!r}")
    return value


def _check_max_event_bytes(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequestError(f"max_event_bytes must be a whole number above 0, not {value!r}")
    return value


def _check_dialect(value: Any) -> str:
    if value not in DIALECTS:
        raise InvalidRequestError(f"dialect must be one of {', '.join(DIALECTS)}, not {value!r}")
    return str(value)


def _check_provider(value: Any) -> str:
    if value not in PROVIDER_NAMES:
        raise InvalidRequestError(
            f"provider must be one of {', '.join(PROVIDER_NAMES)}, not {value!r}"
        )
    return str(value)


def _check_bill_to(value: Any) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value:
        raise InvalidRequestError(f"bill_to must be the name of an organisation, not {value!r}")
    return value


def refuse_resume(options: Mapping[str, Any]) -> None:
    """Raise `InvalidRequestError` if `resume` is on, for calls other than streams of tokens."""
    if options.get("resume"):
        raise InvalidRequestError("resume is for stream and stream_tokens; run has max_retries")


_CHECKS = {
    "api_key": _check_api_key,
    "api_url": _check_api_url,
    "fetch": _check_fetch,
    "headers": _check_headers,
    "signal": _check_signal,
    "timeout": Timeout.of,
    "max_retries": _check_max_retries,
    "retry": _check_retry,
    "wait_for_model": _check_wait_for_model,
    "on_retry": _check_on_retry,
    "resume": _check_resume,
    "dialect": _check_dialect,
    "provider": _check_provider,
    "bill_to": _check_bill_to,
    "max_event_bytes": _check_max_event_bytes,
}
_REQUEST_OPTIONS = frozenset(RequestOptions.__annotations__)
