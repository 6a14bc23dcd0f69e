"""The times of a generation, and the headers that tell them. Reads no clock.

Source: text-generation-inference, `router/src/server.rs` (`generate_internal`, `completions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# TGI takes this from the environment (`COMPUTE_TYPE`), "gpu+optimized" if nothing is said.
COMPUTE_TYPE = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Where the time of one generation went, in seconds."""

    total: float
    validation: float
    queue: float
    inference: float
    prompt_tokens: int
    generated_tokens: int

    @property
    def time_per_token(self) -> float:
        return self.inference / self.generated_tokens


def stream_headers(prompts: Sequence[str]) -> dict[str, str]:
    """Return the headers of a stream; they leave before anything is known but the prompts."""
    return {
        "x-compute-type": COMPUTE_TYPE,
        "x-compute-characters": _characters(prompts),
        "x-accel-buffering": "no",
    }


def generation_headers(prompt: str, timings: Timings) -> Mapping[str, str]:
    """Return the headers of an answer on a native route."""
    return {"x-compute-time": str(timings.total), **completion_headers([prompt], [timings])}


def completion_headers(prompts: Sequence[str], timings: Sequence[Timings]) -> dict[str, str]:
    """Return the headers of a completion: sums over its prompts, and no `x-compute-time`."""
    return {
        "x-compute-type": COMPUTE_TYPE,
        "x-compute-characters": _characters(prompts),
        "x-total-time": _milliseconds(t.total for t in timings),
        "x-validation-time": _milliseconds(t.validation for t in timings),
        "x-queue-time": _milliseconds(t.queue for t in timings),
        "x-inference-time": _milliseconds(t.inference for t in timings),
        "x-time-per-token": _milliseconds(t.time_per_token for t in timings),
        "x-prompt-tokens": str(sum(t.prompt_tokens for t in timings)),
        "x-generated-tokens": str(sum(t.generated_tokens for t in timings)),
    }


def _characters(prompts: Sequence[str]) -> str:
    return str(sum(map(len, prompts)))


def _milliseconds(seconds: Iterable[float]) -> str:
    return str(sum(int(value * 1000) for value in seconds))
