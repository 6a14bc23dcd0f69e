"""The providers behind Hugging Face's router, and asking the Hub for their targets. No I/O.

Hosts and routes: huggingface_hub, `inference/_providers/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from hfgen._core import discovery
from hfgen._core.conversation import converse
from hfgen._core.dialects.server_kind import Server
from hfgen._core.errors import MalformedAnswerError, NotFoundError
from hfgen._core.target import Target
from hfgen._core.url import extend_url

if TYPE_CHECKING:
    from hfgen._core.context import CallContext
    from hfgen._core.conversation import Conversation

ROUTER = "https://router.huggingface.co"
HF_INFERENCE = "hf-inference"

# The tasks that generate text. Other tasks are about images or embeddings.
_TASKS = frozenset({"text-generation", "conversational"})
_HOSTED = Server("provider")


class Provider(NamedTuple):
    """The addresses of a provider.

    Attributes:
        host: The provider's own host, for the provider's own keys.
        route: The route of completions, on that host and behind the router.
    """

    host: str
    route: str


PROVIDERS = {
    "deepinfra": Provider("https://api.deepinfra.com", "/v1/openai/completions"),
    "featherless-ai": Provider("https://api.featherless.ai", "/v1/completions"),
    "novita": Provider("https://api.novita.ai", "/v3/openai/completions"),
    "together": Provider("https://api.together.xyz", "/v1/completions"),
}
PROVIDER_NAMES = (*sorted([*PROVIDERS, HF_INFERENCE]),)


def mapping_route(model: str) -> str:
    """Return the route of the Hub for the providers of a model."""
    return f"/api/models/{quote(model, safe='/')}?expand=inferenceProviderMapping"


def find_targets(
    provider: str, model: str, url: str, context: CallContext, *, routed: bool
) -> Conversation[tuple[Target, ...]]:
    """Ask the Hub under which name a provider serves a model; return where to post.

    Args:
        provider: The name of the provider.
        model: The model's id at the Hub.
        url: The URL of the Hub's document on the model.
        context: The options of the call, and what else it depends on.
        routed: Whether to go through Hugging Face's router, with a key of Hugging Face.

    Raises:
        NotFoundError: There is no such model, or this provider does not serve it.
        StatusError: The Hub reports another error.
        MalformedAnswerError: The Hub's answer is no document on a model.
    """
    try:
        document = yield from converse(
            context.make_hub_request(url),
            context.settings.retry,
            discovery.accept_document,
            context.clock,
        )
    except NotFoundError:
        raise NotFoundError(
            f"the Hub knows no model {model!r}, or the key may not see it", status=404
        ) from None
    entries = _read_provider_mapping(document)
    if entries is None:
        raise MalformedAnswerError(f"the Hub does not say who serves {model!r}")
    if provider not in entries:
        others = ", ".join(sorted(entries)) or "no provider"
        raise NotFoundError(f"{provider} does not serve {model}; served by: {others}", status=404)
    name, task = entries[provider]
    if provider == HF_INFERENCE:
        base = f"{ROUTER}/{HF_INFERENCE}/models/{quote(model, safe='/')}"
        targets = make_hf_inference_targets(base, model)
        return targets[::-1] if task == "conversational" else targets
    host, route = PROVIDERS[provider]
    return (
        Target(
            dialect="completions",
            url=(f"{ROUTER}/{provider}" if routed else host) + route,
            server=_HOSTED,
            model=name,
        ),
    )


def make_hf_inference_targets(
    url: str, model: str, *, model_in_url: bool = True
) -> tuple[Target, ...]:
    """Return the two targets of a model at hf-inference, the one in TGI's dialect first.

    Args:
        url: The URL of the model, which ends with the model's id.
        model: The model's id.
        model_in_url: Whether to leave the model out of the body, because the URL names it.
    """
    return (
        Target(dialect="tgi", url=url, model_in_url=model_in_url),
        Target(
            dialect="completions",
            url=extend_url(url, "v1/completions"),
            server=_HOSTED,
            model=model,
        ),
    )


def _read_provider_mapping(document: Any) -> dict[str, tuple[str, str]] | None:
    """Return the providers that generate text, each with its name for the model and its task."""
    mapping = document.get("inferenceProviderMapping") if isinstance(document, dict) else None
    if isinstance(mapping, dict):
        entries = [
            {"provider": name, **entry}
            for name, entry in mapping.items()
            if isinstance(entry, dict)
        ]
    elif isinstance(mapping, list):
        entries = [entry for entry in mapping if isinstance(entry, dict)]
    else:
        # The Hub leaves the mapping out if no provider serves the model.
        return {} if isinstance(document, dict) and "id" in document else None
    return {
        str(entry.get("provider")): (entry["providerId"], entry["task"])
        for entry in entries
        # Made a string because `in` needs a hash, and the value may be of any type.
        if str(entry.get("task")) in _TASKS and isinstance(entry.get("providerId"), str)
    }
