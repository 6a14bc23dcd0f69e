"""`Server`: the kind of a server and its models; the error for what a kind does not take."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from hfgen._core.errors import InvalidRequestError

Kind: TypeAlias = Literal[
    "tgi", "vllm", "sglang", "llama.cpp", "ollama", "transformers", "provider"
]


class Server(msgspec.Struct, frozen=True):
    """A server.

    Attributes:
        kind: The software, None if unknown; "provider" for a hosted provider, which is only
            certain to take the fields of OpenAI's own API; "transformers" for `transformers serve`.
        models: The ids of the models that it serves, without adapters.
        context: The maximum of tokens of prompt and text together, None if the server's list of
            models does not have it.
    """

    kind: Kind | None = None
    models: tuple[str, ...] = ()
    context: int | None = None


UNKNOWN = Server()
TGI_SERVER = Server("tgi")

SEVERAL_CALLS = "make a call for each text, with a `seed` of its own"
"""What to do where a server ignores `num_return_sequences`."""

NOT_IN_TGI = {
    "max_time": "bound the call by `timeout`, or by `max_new_tokens`",
    "num_return_sequences": SEVERAL_CALLS,
}
"""Parameters that all of TGI's routes ignore in silence, with what to do instead."""

_REASONS: dict[Kind | None, str] = {
    None: "a server of unknown kind, through its /v1/completions, is not known to take it",
    "provider": "a hosted provider, through its completions, is not known to take it",
    "tgi": "TGI does not take it on /v1/completions, only on its own routes (kind 'tgi')",
    "vllm": "vLLM does not take it (kind 'vllm')",
    "sglang": "SGLang does not take it (kind 'sglang')",
    "llama.cpp": "llama.cpp does not take it (kind 'llama.cpp')",
    "ollama": "Ollama does not take it (kind 'ollama')",
    "transformers": "`transformers serve` does not take it (kind 'transformers')",
}


def unsupported_parameter_error(name: str, kind: Kind | None, remedy: str) -> InvalidRequestError:
    """Return the error for a parameter that a server does not take.

    Args:
        name: The name of the parameter.
        kind: The kind of the server.
        remedy: What the caller can do about it, as an imperative.
    """
    is_missing = kind == "tgi" and name in NOT_IN_TGI
    reason = "TGI does not take it (kind 'tgi')" if is_missing else _REASONS[kind]
    return InvalidRequestError(f"request.parameters.{name}: {reason}; {remedy}")
