"""The vocabulary between the HTTP side of the local server and its engine: values, nothing else.

The HTTP side turns a request into a `Job` and submits it; the batcher answers with events, in
order: one `Started`, a `Generated` for each token (the last one with a finish reason), or a
`Failed` in place of what is missing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)

FinishReason: TypeAlias = Literal["length", "eos_token", "stop_sequence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen from the logits, in TGI's terms, validated and complete.

    `seed` is always a number: the HTTP side draws one where the caller gave none.
    The neutral value of each field switches it off.
    """

    seed: int
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One generation: what to go on from, how to choose, and when to stop."""

    input_ids: tuple[int, ...]
    sampling: Sampling
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    top_n_tokens: int = 0
    prefill_logprobs: bool = False


@dataclass(frozen=True, slots=True)
class PrefillToken:
    """A token of the prompt; the first one has no log-probability (nothing precedes it)."""

    id: int
    text: str
    logprob: float | None


@dataclass(frozen=True, slots=True)
class Token:
    """A generated token. `text` is empty until a character that spans tokens is whole."""

    id: int
    text: str
    logprob: float
    special: bool


@dataclass(frozen=True, slots=True)
class Started:
    """The job has left the queue and its prompt has been read.

    `started_at` is `time.perf_counter()` when prefill began; `prefill` is empty unless the job
    asked for it.
    """

    started_at: float
    prefill: tuple[PrefillToken, ...] = ()


@dataclass(frozen=True, slots=True)
class Generated:
    """One more token; `finish_reason` is set on the last one, and only there."""

    token: Token
    top_tokens: tuple[Token, ...] = ()
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The engine could not go on with this job; nothing follows."""

    message: str


Event: TypeAlias = Started | Generated | Failed


class SubmittedJob:
    """A job that was submitted."""

    __slots__ = ("_callback", "_cancelled", "job")

    def __init__(self, job: Job, emit: Callable[[Event], None]) -> None:
        self.job = job
        self._callback = emit
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """Take the job out of the batch or the queue, from any thread.

        The event that is under way may still come, and then none.
        """
        self._cancelled = True

    def emit(self, event: Event) -> None:
        """Hand an event to the job's owner, unless it wants none any more."""
        if self._cancelled:
            return
        try:
            self._callback(event)
        except Exception:
            _logger.exception("a job's owner failed; the job is cancelled")
            self._cancelled = True
