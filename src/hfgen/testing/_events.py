"""Server-sent events, and what servers put into them: tokens, details and errors. No I/O."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ServerKind: TypeAlias = Literal[
    "hosted", "llama.cpp", "openai", "sglang", "tgi", "tgi-v1", "vllm", "vllm-old"
]
"""The servers in whose wording `fault` can make an error.

- "hosted": the hosted Inference API, whose `error` is a list.
- "tgi-v1": TGI on its OpenAI routes; "tgi" is TGI on its own.
- "vllm-old": vLLM before 0.10.
"""

_VOCABULARY = 32_000


@dataclass(frozen=True, slots=True)
class Special:
    """A special token, for `tokens`: it is in the stream, but not in the generated text.

    Attributes:
        text: How the token is spelled, as in "</s>".
    """

    text: str


def event(data: Mapping[str, Any] | str, *, name: str | None = None) -> bytes:
    """Return a server-sent event.

    Args:
        data: The data of the event. A mapping becomes JSON; a text is sent as it is, with a `data`
            field for each of its lines.
        name: The type of the event; None to leave it out.
    """
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    lines = [f"data: {line}\n" for line in text.split("\n")]
    if name is not None:
        lines.insert(0, f"event: {name}\n")
    return f"{''.join(lines)}\n".encode()


def done() -> bytes:
    """Return the event `[DONE]`, which ends a stream on OpenAI's routes."""
    return event("[DONE]")


def comment(text: str = "") -> bytes:
    """Return a comment. Servers send comments, which are not events, to keep a stream alive.

    Args:
        text: The text, on one line. TGI sends an empty comment after 15 s without an event.
    """
    return f":{' ' if text else ''}{text}\n\n".encode()


def chunk(
    text: str,
    *,
    index: int = 1,
    special: bool = False,
    generated_text: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the JSON of one of TGI's events: a token. `tokens` makes a whole stream.

    Args:
        text: The text of the token.
        index: The place of the token in the stream, counted from 1.
        special: Whether it is a special token, such as "</s>".
        generated_text: The whole text, in the last event only. Clients take an event that has it
            for the last one.
        details: The details of the generation, in the last event only.
    """
    token_id = zlib.crc32(text.encode()) % _VOCABULARY
    return {
        "index": index,
        "token": {"id": token_id, "text": text, "logprob": -0.5, "special": special},
        "generated_text": generated_text,
        "details": None if details is None else dict(details),
    }


def make_details(tokens: Sequence[str | Special], finish_reason: str | None) -> dict[str, Any]:
    """Return TGI's details of a generation.

    Args:
        tokens: All tokens of the generation; at least one.
        finish_reason: Default: "eos_token" after a special token, else "length".
    """
    usual_reason = "eos_token" if isinstance(tokens[-1], Special) else "length"
    return {
        "finish_reason": usual_reason if finish_reason is None else finish_reason,
        "generated_tokens": len(tokens),
        "seed": None,
        "input_length": 1,
    }


def fault(
    message: str,
    *,
    server: ServerKind = "tgi",
    kind: str | None = None,
    code: int | None = None,
) -> dict[str, Any]:
    """Return an error in a server's own JSON: for `events`, `tokens` or `as_json`.

    Args:
        message: The message of the error.
        server: The server in whose wording it is.
        kind: The type of the error, if that server names one. Default: a usual one of its types.
        code: The status in the error, if that server names one. Default: a usual one.

    Raises:
        ValueError: The server is not one of `ServerKind`.
    """
    if server not in _FAULTS:
        raise ValueError(f"server must be one of {', '.join(sorted(_FAULTS))}, not {server!r}")
    usual_kind, usual_code, shape = _FAULTS[server]
    return shape(
        message, usual_kind if kind is None else kind, usual_code if code is None else code
    )


def overload_fault(server: ServerKind) -> dict[str, Any]:
    """Return the error by which a server says that it is overloaded."""
    message, kind, code = _OVERLOADS.get(server, ("Model is overloaded", None, None))
    return fault(message, server=server, kind=kind, code=code)


def _tgi_fault(message: str, kind: str, _: int | None) -> dict[str, Any]:
    return {"error": message, "error_type": kind}


def _tgi_v1_fault(message: str, _: str, code: int | None) -> dict[str, Any]:
    return {"error": {"message": message, "http_status_code": code}}


def _hosted_fault(message: str, _: str, __: int | None) -> dict[str, Any]:
    return {"error": [message]}


def _openai_fault(message: str, kind: str, code: int | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _vllm_old_fault(message: str, kind: str, code: int | None) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def _sglang_fault(message: str, kind: str, code: int | None) -> dict[str, Any]:
    return {"error": _vllm_old_fault(message, kind, code)}


def _llama_cpp_fault(message: str, kind: str, code: int | None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "type": kind}}


# For each server: the usual type and status of its errors, and the function that makes their JSON.
_FAULTS: dict[
    ServerKind, tuple[str, int | None, Callable[[str, str, int | None], dict[str, Any]]]
] = {
    "hosted": ("", None, _hosted_fault),
    "llama.cpp": ("unavailable_error", 503, _llama_cpp_fault),
    "openai": ("server_error", None, _openai_fault),
    "sglang": ("SERVICE_UNAVAILABLE", 503, _sglang_fault),
    "tgi": ("generation", None, _tgi_fault),
    "tgi-v1": ("", 422, _tgi_v1_fault),
    "vllm": ("InternalServerError", 500, _openai_fault),
    "vllm-old": ("InternalServerError", 500, _vllm_old_fault),
}
# Message, type and status by which a server says that it is overloaded; None for its usual ones.
_OVERLOADS: dict[ServerKind, tuple[str, str | None, int | None]] = {
    "openai": ("Rate limit reached", "rate_limit_error", 429),
    "sglang": ("The request queue is full.", None, None),
    "tgi": ("Model is overloaded", "overloaded", None),
    "vllm": ("Model is overloaded", "TooManyRequestsError", 429),
    "vllm-old": ("Model is overloaded", "TooManyRequestsError", 429),
}
