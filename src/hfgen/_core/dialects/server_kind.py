"""`Server`: the kind of a server that speaks completions, and the models that it serves."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["tgi", "vllm", "sglang", "llama.cpp", "ollama", "provider"]


class Server(msgspec.Struct, frozen=True):
    """A server that speaks completions.

    Attributes:
        kind: The software, None if unknown; "provider" for a hosted provider, which is only
            certain to take the fields of OpenAI's own API.
        models: The ids of the models that it serves, without adapters.
        context: The maximum of tokens of prompt and text together, None if the server's list of
            models does not have it.
    """

    kind: Kind | None = None
    models: tuple[str, ...] = ()
    context: int | None = None


UNKNOWN = Server()
