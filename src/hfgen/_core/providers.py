"""The providers that Hugging Face's router knows, and their own names for a model. No I/O.

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

# The mappings that are about text; others have images, embeddings.
_TASKS = frozenset({"text-generation", "conversational"})
_HOSTED = Server("provider")


class Provider(NamedTuple):
    """Where a provider answers.

    Attributes:
        host: Its own, for its own keys.
        route: Where completions are, there and behind the router.
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
    """Return the route of the Hub that tells which providers serve a model."""
    return f"/api/models/{quote(model, safe='/')}?expand=inferenceProviderMapping"


def find_targets(
    provider: str, model: str, url: str, context: CallContext, *, routed: bool
) -> Conversation[tuple[Target, ...]]:
    """Ask the Hub who serves a model, and under which name; return where to post.

    Args:
        provider: Who is to serve it.
        model: The model's id at the Hub.
        url: What to read at the Hub.
        context: What the call knows beside the request.
        routed: Whether the key is Hugging Face's, for its router.

    Raises:
        NotFoundError: There is no such model, or that provider does not serve it.
        StatusError: The Hub does not say, for another reason.
        MalformedAnswerError: The Hub answers something else.
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
    served = _providers_of_text(document)
    if served is None:
        raise MalformedAnswerError(f"the Hub does not say who serves {model!r}")
    if provider not in served:
        others = ", ".join(sorted(served)) or "nobody"
        raise NotFoundError(f"{provider} does not serve {model}; served by: {others}", status=404)
    name, task = served[provider]
    if provider == HF_INFERENCE:
        base = f"{ROUTER}/{HF_INFERENCE}/models/{quote(model, safe='/')}"
        targets = hf_inference_targets(base, model)
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


def hf_inference_targets(url: str, model: str, *, model_in_url: bool = True) -> tuple[Target, ...]:
    """Return the two ways of asking hf-inference for the model in this URL, TGI's first.

    Args:
        url: It ends with the model's id.
        model: The model's id.
        model_in_url: Whether hfgen has put it there, so that the request need not name it.
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


def _providers_of_text(document: Any) -> dict[str, tuple[str, str]] | None:
    """Return the providers of text, each with its name for the model and its task."""
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
        # The Hub leaves it out where nobody serves the model.
        return {} if isinstance(document, dict) and "id" in document else None
    return {
        str(entry.get("provider")): (entry["providerId"], entry["task"])
        for entry in entries
        # As a string: the value may be of any type, and `in` needs a hash.
        if str(entry.get("task")) in _TASKS and isinstance(entry.get("providerId"), str)
    }
