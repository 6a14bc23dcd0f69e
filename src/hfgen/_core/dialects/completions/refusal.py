"""The error for what a server that speaks completions is not known to do. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfgen._core.errors import InvalidRequestError

if TYPE_CHECKING:
    from hfgen._core.dialects.server_kind import Kind

_NAMES: dict[Kind | None, str] = {
    None: "a server of unknown kind, through its /v1/completions, is not known to take it",
    "provider": "a hosted provider, through its completions, is not known to take it",
    "tgi": "TGI does not take it on /v1/completions, only on its own routes (kind 'tgi')",
    "vllm": "vLLM does not take it (kind 'vllm')",
    "sglang": "SGLang does not take it (kind 'sglang')",
    "llama.cpp": "llama.cpp does not take it (kind 'llama.cpp')",
    "ollama": "Ollama does not take it (kind 'ollama')",
}


def unsupported_parameter_error(
    name: str, kind: Kind | None, what_to_do: str
) -> InvalidRequestError:
    """Return the error for a parameter.

    Args:
        name: The name of the parameter.
        kind: The kind of the server.
        what_to_do: What the caller can do about it, as an imperative.
    """
    return InvalidRequestError(f"request.parameters.{name}: {_NAMES[kind]}; {what_to_do}")
