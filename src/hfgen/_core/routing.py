"""Where a call goes: by its options as far as they say it, else by asking."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from hfgen._core import discovery, providers
from hfgen._core import url as _url
from hfgen._core.errors import InvalidRequestError
from hfgen._core.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from hfgen._core.conversation import Conversation
    from hfgen._core.target import Get
    from hfgen._options import Settings

# The last part of a path after which OpenAI's clients put "completions".
_BASE = re.compile(r"v\d+|openai")
_ROUTES = re.compile(r"/(generate|generate_stream|v1|(v1/)?(chat/)?completions)?/?$")
# With nothing but these in a request it is the same for every server that speaks completions.
_COMMON = frozenset(
    {"do_sample", "frequency_penalty", "max_new_tokens", "seed", "temperature", "top_p"}
)


class Plan(NamedTuple):
    """Where to post: known, or to be found out.

    Attributes:
        key: What the answer depends on.
        targets: The places, the likeliest first; empty if that is to be asked.
        find: Asks.
        of_hub: Whether it is the Hub that is asked, which has keys of its own.
    """

    key: Hashable
    targets: tuple[Target, ...]
    find: Callable[[Get], Conversation[tuple[Target, ...]]] | None = None
    of_hub: bool = False


def plan(settings: Settings, request: Mapping[str, Any]) -> Plan:  # noqa: PLR0911 - one a case
    """Return where a normalised request goes.

    Raises:
        InvalidRequestError: The options contradict each other, or miss something.
    """
    if settings.provider is not None:
        return _provided(settings, settings.provider, request.get("model"))
    source = "api_url" if settings.api_url else "HFGEN_API_URL"
    url, model_in_url = _url.resolve(settings.url, request.get("model"), source)
    wanted = settings.dialect
    path = _path(url)
    model = request.get("model") if model_in_url else _pasted(url, path)
    if model is not None:
        # A model has a URL of its own, and no server there would say what it speaks.
        places = providers.hf_inference(url, model, model_in_url=model_in_url)
        return Plan((url, wanted), _spoken(places, wanted))
    name = path.rpartition("/")[2]
    if name in {"generate", "generate_stream"}:
        if wanted == "completions":
            raise InvalidRequestError(
                f"/{name} is a route of TGI's own dialect; for completions, "
                "pass the server's URL without it"
            )
        return Plan((url, wanted), (_tgi(url),))
    if path.endswith("/chat/completions"):
        raise InvalidRequestError("hfgen completes text: pass /v1/completions, without the chat")
    if wanted == "tgi":
        return Plan((url, wanted), (Target(dialect="tgi", url=url),))
    if name == "completions":
        return _completions(settings, url, request)
    if wanted == "completions" or name == "v1":
        route = "completions" if _BASE.fullmatch(name) else "v1/completions"
        return _completions(settings, _url.extended(url, route), request)
    key = urlunsplit(urlsplit(url)._replace(path=path)), wanted
    return Plan(key, (), lambda get: discovery.targets(url, get, settings.retry))


@_url.cached
def _tgi(url: str) -> Target:
    """Return the two routes of TGI's dialect, of which the URL is one."""
    whole, stream = _url.sibling(url, "generate"), _url.sibling(url, "generate_stream")
    return Target(dialect="tgi", url=whole, stream_url=stream)


def base(settings: Settings) -> str:
    """Return the URL of the server that the settings name, without a route.

    Raises:
        InvalidRequestError: They name none, but the router.
    """
    url = settings.url
    _url.check(url, "api_url" if settings.api_url else "HFGEN_API_URL")
    if settings.provider is not None or _url.is_router(url):
        raise InvalidRequestError(
            "this is asked of a server; behind the router there are many: pass its api_url"
        )
    parts = urlsplit(_url.ascii_only(url))
    return urlunsplit(parts._replace(path=_ROUTES.sub("", parts.path)))


@_url.cached
def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def _pasted(url: str, path: str) -> str | None:
    """Return the model if this is its URL behind the router, and no route of its server's."""
    model = path.partition("/models/")[2]
    return unquote(model) if model and _url.is_router(url) and not _ROUTES.search(path) else None


def _spoken(places: tuple[Target, ...], dialect: str) -> tuple[Target, ...]:
    return tuple(place for place in places if dialect in {"auto", place.dialect})


def _completions(settings: Settings, url: str, request: Mapping[str, Any]) -> Plan:
    target = Target(dialect="completions", url=url)
    parameters = request.get("parameters") or {}
    # What is off or empty asks for nothing.
    asked = {name for name, value in parameters.items() if value or name in _COMMON}
    if "model" in request and "max_new_tokens" in parameters and asked <= _COMMON:
        return Plan((url, "common"), (target,))
    # Servers differ in the rest.
    return Plan((url, "all"), (), lambda get: discovery.informed(target, get, settings.retry))


def _provided(settings: Settings, provider: str, model: str | None) -> Plan:
    if not model:
        raise InvalidRequestError(f"the request needs a `model`, to be served by {provider}")
    _url.check_model(model)
    if settings.dialect == "tgi" and provider != providers.HF_INFERENCE:
        raise InvalidRequestError(f"{provider} does not speak TGI's dialect, but completions")
    # What the environment offers is Hugging Face's, whatever it looks like.
    routed = settings.api_key is None or settings.api_key.startswith("hf_")
    if not routed and provider == providers.HF_INFERENCE:
        raise InvalidRequestError("hf-inference takes keys of Hugging Face only, which begin hf_")
    if not routed and settings.bill_to is not None:
        raise InvalidRequestError(f"bill_to is for Hugging Face's router; this key is {provider}'s")
    # As for huggingface_hub.
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    _url.check(hub, "HF_ENDPOINT")
    url = hub.rstrip("/") + providers.question(model)

    def find(get: Get) -> Conversation[tuple[Target, ...]]:
        found = yield from providers.targets(
            provider, model, url, get, settings.retry, routed=routed
        )
        return _spoken(found, settings.dialect)

    return Plan((provider, model, routed, settings.dialect), (), find, of_hub=True)
