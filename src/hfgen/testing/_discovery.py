"""What a scripted server says of itself when a client asks which API it has. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from hfgen.testing._answers import as_json, status

if TYPE_CHECKING:
    from hfgen.testing._answers import ScriptedAnswer
    from hfgen.testing._request import RecordedRequest

Speaks: TypeAlias = Literal["tgi", "vllm", "sglang", "llama.cpp", "completions"]
"""The API of a scripted server.

- "tgi": TGI's own routes.
- "vllm", "sglang", "llama.cpp": OpenAI's completions, as this server has them.
- "completions": OpenAI's completions, of a server that hfgen does not know.
"""

_MODEL = "scripted"
_INFO = {
    "model_id": _MODEL,
    "model_pipeline_tag": "text-generation",
    "max_concurrent_requests": 128,
    "max_best_of": 2,
    "max_stop_sequences": 4,
    "max_input_tokens": 4095,
    "max_total_tokens": 4096,
    "router": "text-generation-router",
    "version": "3.3.6-dev0",
}
# The servers' names for themselves, in `owned_by` of their models.
_OWNERS = {
    "tgi": _MODEL,
    "vllm": "vllm",
    "sglang": "sglang",
    "llama.cpp": "llamacpp",
    "completions": "nobody",
}


def check_speaks(speaks: object) -> None:
    """Check the option `speaks`.

    Raises:
        ValueError: It is neither None nor one of the APIs.
    """
    if speaks is not None and speaks not in _OWNERS:
        raise ValueError(f"speaks must be one of {', '.join(_OWNERS)}, or None, not {speaks!r}")


def answer_discovery(speaks: Speaks | None, request: RecordedRequest) -> ScriptedAnswer | None:
    """Return the answer to a request for `/info` or `/v1/models`; None if it is another request."""
    if speaks is None or request.method != "GET":
        return None
    path = request.path.partition("?")[0]
    if path.endswith("/info"):
        return as_json(_INFO) if speaks == "tgi" else status(404)
    if path.endswith("/v1/models"):
        model = {"id": _MODEL, "object": "model", "created": 0, "owned_by": _OWNERS[speaks]}
        return as_json({"object": "list", "data": [model]})
    return None
