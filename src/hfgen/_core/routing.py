"""Where a request goes: `plan_route` returns the targets, or which server to ask for them."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from hfgen._core import discovery, providers
from hfgen._core.conversation import Ask
from hfgen._core.dialects.server_kind import NOT_IN_TGI, TGI_SERVER
from hfgen._core.errors import InvalidRequestError
from hfgen._core.request import is_sampled
from hfgen._core.target import Target
from hfgen._core.url import (
    DEFAULT_API_URL,
    cache_by_url,
    check_model,
    check_url,
    encode_url,
    extend_url,
    is_router,
    replace_route,
    resolve_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from hfgen._core.context import CallContext, Environment
    from hfgen._core.conversation import Conversation
    from hfgen._core.settings import Settings

# The last part of a path to which OpenAI's clients append "completions".
_OPENAI_BASE = re.compile(r"v\d+|openai")
_ROUTES = re.compile(r"/(generate|generate_stream|v1|(v1/)?(chat/)?completions)?/?$")
# Parameters that every server that speaks completions takes in the same way, if no token is drawn.
_COMMON_PARAMETERS = frozenset(
    {"do_sample", "frequency_penalty", "max_new_tokens", "seed", "temperature", "top_p"}
)


class Plan(NamedTuple):
    """Where a request goes, or how to find out.

    Attributes:
        key: Identifies the targets: requests with an equal key have the same ones.
        targets: The targets, the likeliest first; empty if a server must be asked.
        find: Asks a server for the targets.
    """

    key: Hashable
    targets: tuple[Target, ...]
    find: Callable[[CallContext], Conversation[tuple[Target, ...]]] | None = None


def plan_route(  # noqa: PLR0911 - one return for each kind of URL
    request: Mapping[str, Any],
    settings: Settings,
    environment: Environment,
    *,
    is_counted: bool = False,
) -> Plan:
    """Return where a normalised request goes.

    Args:
        request: The request.
        settings: The options of the call.
        environment: The settings from the environment.
        is_counted: Whether to ask for the finish reason and the number of tokens.

    Raises:
        InvalidRequestError: The options contradict each other, or one is missing.
    """
    if settings.provider is not None:
        return _plan_provider(settings, settings.provider, request.get("model"), environment)
    url, source = find_base_url(settings, environment)
    url, model_in_url = resolve_url(url, request.get("model"), source)
    dialect = settings.dialect
    path = _strip_path(url)
    model = request.get("model") if model_in_url else _find_model(url, path)
    if model is not None:
        # Behind the router, each model has a URL, and there is no server to ask for its dialect.
        targets = providers.make_hf_inference_targets(url, model, model_in_url=model_in_url)
        return Plan((url, dialect), _select_dialect(targets, dialect))
    name = path.rpartition("/")[2]
    if name in {"generate", "generate_stream"}:
        if dialect == "completions":
            raise InvalidRequestError(
                f"/{name} is a route of TGI's own dialect; for completions, "
                "pass the server's URL without it"
            )
        return Plan((url, dialect), (_make_tgi_target(url),))
    if path.endswith("/chat/completions"):
        raise InvalidRequestError("hfgen completes text: pass /v1/completions, without the chat")
    if dialect == "tgi":
        return _plan_tgi(url, request, is_counted=is_counted)
    if name == "completions":
        return _plan_completions(url, request)
    if dialect == "completions" or name == "v1":
        route = "completions" if _OPENAI_BASE.fullmatch(name) else "v1/completions"
        return _plan_completions(extend_url(url, route), request)
    key = urlunsplit(urlsplit(url)._replace(path=path)), dialect
    return Plan(key, (), partial(discovery.find_targets, url))


def find_targets(plan: Plan, context: CallContext) -> Conversation[tuple[Target, ...]]:
    """Return the targets of a plan that has none; a server is asked once for all calls."""
    assert plan.find is not None
    targets: tuple[Target, ...] = yield Ask(
        plan.key, context.settings.caller, partial(plan.find, context)
    )
    return targets


def find_base_url(settings: Settings, environment: Environment) -> tuple[str, str]:
    """Return the URL to post to, without a model's id, and the name of the option that has it."""
    if settings.api_url is not None:
        return settings.api_url, "api_url"
    return environment.api_url or DEFAULT_API_URL, "HFGEN_API_URL"


def find_server_url(settings: Settings, environment: Environment) -> str:
    """Return the URL of the server that the options name, without a route.

    Raises:
        InvalidRequestError: The options name the router or a provider, which are no single server.
    """
    url, source = find_base_url(settings, environment)
    check_url(url, source)
    if settings.provider is not None or is_router(url):
        raise InvalidRequestError(
            "only a single server answers this, and the router has many: pass the server's api_url"
        )
    parts = urlsplit(encode_url(url))
    return urlunsplit(parts._replace(path=_ROUTES.sub("", parts.path)))


@cache_by_url
def _make_tgi_target(url: str) -> Target:
    """Return the target with both routes of TGI's dialect, for the URL of one of them."""
    return Target(
        dialect="tgi",
        url=replace_route(url, "generate"),
        stream_url=replace_route(url, "generate_stream"),
        server=TGI_SERVER,
    )


@cache_by_url
def _strip_path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def _find_model(url: str, path: str) -> str | None:
    """Return the model if this is the URL of a model behind the router, without a route."""
    model = path.partition("/models/")[2]
    return unquote(model) if model and is_router(url) and not _ROUTES.search(path) else None


def _select_dialect(targets: tuple[Target, ...], dialect: str) -> tuple[Target, ...]:
    return tuple(target for target in targets if dialect in {"auto", target.dialect})


def _plan_tgi(url: str, request: Mapping[str, Any], *, is_counted: bool) -> Plan:
    target = Target(dialect="tgi", url=url)
    parameters = request.get("parameters") or {}
    if not is_counted and not parameters.keys() & NOT_IN_TGI.keys():
        return Plan((url, "tgi"), (target,))
    # Not only TGI speaks its dialect, and servers differ in these parameters and in `details`.
    return Plan((url, "tgi"), (), partial(discovery.find_tgi_server, target))


def _plan_completions(url: str, request: Mapping[str, Any]) -> Plan:
    target = Target(dialect="completions", url=url)
    parameters = request.get("parameters") or {}
    # Other parameters have no effect if they are off or empty.
    used = {name for name, value in parameters.items() if value or name in _COMMON_PARAMETERS}
    is_common = used <= _COMMON_PARAMETERS and not is_sampled(parameters)
    if "model" in request and "max_new_tokens" in parameters and is_common:
        return Plan((url, "common"), (target,))
    # Servers differ in the other parameters, so the kind of the server must be known.
    return Plan((url, "all"), (), partial(discovery.find_server, target))


def _plan_provider(
    settings: Settings, provider: str, model: str | None, environment: Environment
) -> Plan:
    if not model:
        raise InvalidRequestError(
            f"the request needs a `model`, to be served by {provider}: pass "
            'model="owner/name", or set HFGEN_MODEL'
        )
    check_model(model)
    if settings.dialect == "tgi" and provider != providers.HF_INFERENCE:
        raise InvalidRequestError(f"{provider} does not speak TGI's dialect, but completions")
    # A key from the environment is one of Hugging Face, however it begins.
    routed = settings.api_key is None or settings.api_key.startswith("hf_")
    if not routed and provider == providers.HF_INFERENCE:
        raise InvalidRequestError("hf-inference takes keys of Hugging Face only, which begin hf_")
    if not routed and settings.bill_to is not None:
        raise InvalidRequestError(f"bill_to is for Hugging Face's router; this key is {provider}'s")
    hub = environment.hub_url
    check_url(hub, "HF_ENDPOINT")
    url = hub + providers.mapping_route(model)

    def find(context: CallContext) -> Conversation[tuple[Target, ...]]:
        found = yield from providers.find_targets(provider, model, url, context, routed=routed)
        return _select_dialect(found, settings.dialect)

    return Plan((provider, model, routed, settings.dialect), (), find)
