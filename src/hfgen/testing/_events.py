"""Server-sent events, and what servers put into them: tokens and errors. No I/O."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ServerKind: TypeAlias = Literal[
    "hosted", "llama.cpp", "openai", "sglang", "tgi", "tgi-v1", "vllm", "vllm-old"
]
"""The servers whose way to word an error `fault` knows."""

_VOCABULARY = 32_000


@dataclass(frozen=True, slots=True)
class Special:
    """A special token, for `tokens`: one that is no part of the text, whatever it spells.

    Attributes:
        text: How it is spelled, as in "</s>".
    """

    text: str


def event(data: Mapping[str, Any] | str, *, name: str | None = None) -> bytes:
    """Return a server-sent event.

    Args:
        data: What it carries: a mapping becomes JSON; a text is sent as it is, a line of `data`
            for each of its lines.
        name: Its type, None to leave it out.
    """
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    lines = [f"data: {line}\n" for line in text.split("\n")]
    if name is not None:
        lines.insert(0, f"event: {name}\n")
    return f"{''.join(lines)}\n".encode()


def done() -> bytes:
    """Return the event that ends a stream of a server with OpenAI's routes: `[DONE]`."""
    return event("[DONE]")


def comment(text: str = "") -> bytes:
    """Return a comment, with which servers keep a silent stream alive: no event at all.

    Args:
        text: What it says, on one line. TGI sends an empty one after 15 s without an event.
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
    """Return what an event of TGI carries: one token. For a whole stream there is `tokens`.

    Args:
        text: The text of the token.
        index: The place of the token in the stream, counted from 1.
        special: Whether it is a special token, such as "</s>".
        generated_text: The whole text, in the last event only: it is what makes it the last.
        details: The details of the generation, in the last event only.
    """
    number = zlib.crc32(text.encode()) % _VOCABULARY
    return {
        "index": index,
        "token": {"id": number, "text": text, "logprob": -0.5, "special": special},
        "generated_text": generated_text,
        "details": None if details is None else dict(details),
    }


def fault(
    message: str,
    *,
    server: ServerKind = "tgi",
    kind: str | None = None,
    code: int | None = None,
) -> dict[str, Any]:
    """Return an error as a server words it: for an event among others, or for `as_json`.

    Args:
        message: What the server says.
        server: Whose shape it has. "hosted" is the hosted Inference API, whose `error` is a list;
            "tgi-v1" is TGI on its OpenAI routes; "vllm-old" is vLLM before 0.10.
        kind: The type of the error, where the shape has one; None for a usual one of that server.
        code: The status in the error, where the shape has one; None for a usual one.

    Raises:
        ValueError: There is no such server.
    """
    if server not in _FAULTS:
        raise ValueError(f"server must be one of {', '.join(sorted(_FAULTS))}, not {server!r}")
    usual_kind, usual_code, shape = _FAULTS[server]
    return shape(
        message, usual_kind if kind is None else kind, usual_code if code is None else code
    )


def _tgi(message: str, kind: str, _: int | None) -> dict[str, Any]:
    return {"error": message, "error_type": kind}


def _tgi_v1(message: str, _: str, code: int | None) -> dict[str, Any]:
    return {"error": {"message": message, "http_status_code": code}}


def _hosted(message: str, _: str, __: int | None) -> dict[str, Any]:
    return {"error": [message]}


def _openai(message: str, kind: str, code: int | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _vllm_old(message: str, kind: str, code: int | None) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def _sglang(message: str, kind: str, code: int | None) -> dict[str, Any]:
    return {"error": _vllm_old(message, kind, code)}


def _llama_cpp(message: str, kind: str, code: int | None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "type": kind}}


# The usual type and status, and the shape.
_FAULTS: dict[
    ServerKind, tuple[str, int | None, Callable[[str, str, int | None], dict[str, Any]]]
] = {
    "hosted": ("", None, _hosted),
    "llama.cpp": ("unavailable_error", 503, _llama_cpp),
    "openai": ("server_error", None, _openai),
    "sglang": ("SERVICE_UNAVAILABLE", 503, _sglang),
    "tgi": ("generation", None, _tgi),
    "tgi-v1": ("", 422, _tgi_v1),
    "vllm": ("InternalServerError", 500, _openai),
    "vllm-old": ("InternalServerError", 500, _vllm_old),
}
