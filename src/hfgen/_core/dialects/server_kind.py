"""What is known of a server that speaks completions: which one it is, and what it serves."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["tgi", "vllm", "sglang", "llama.cpp", "ollama", "provider"]


class Server(msgspec.Struct, frozen=True):
    """A server that speaks completions.

    Attributes:
        kind: Which one it is, None where nobody knows; "provider" for a hosted one of which only
            OpenAI's own fields are certain.
        models: The ids of what it serves, base models only.
        context: How many tokens prompt and text may be together, where its list of models says.
    """

    kind: Kind | None = None
    models: tuple[str, ...] = ()
    context: int | None = None


UNKNOWN = Server()
