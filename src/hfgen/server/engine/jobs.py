"""Jobs and their events: all that the HTTP side and the engine side know of each other.

The HTTP side turns a request into a `Job` and submits it to the batcher, which returns a
`SubmittedJob`. The batcher then emits events: `Started` once the prompt has been read, and one
`Generated` for each token; the last one has a finish reason. If the job cannot be completed, a
`Failed` is the last event instead. After `SubmittedJob.cancel` no further event is emitted.
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
    """How the next token is chosen from the logits. Fields have TGI's names and are validated.

    The default of each field switches it off. `seed` is always a number: the HTTP side draws one
    where the request has none.
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
    """One generation: the prompt, how to choose tokens, and when to stop.

    Attributes:
        input_ids: The tokens of the prompt.
        sampling: How each token is chosen.
        max_new_tokens: The most tokens to generate.
        stop: Strings that end the generation where one of them appears; none is empty. The text
            ends with it.
        top_n_tokens: How many of the most likely tokens to report with each generated token.
        prefill_logprobs: Whether `Started` has the log-probabilities of the prompt.
    """

    input_ids: tuple[int, ...]
    sampling: Sampling
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    top_n_tokens: int = 0
    prefill_logprobs: bool = False


@dataclass(frozen=True, slots=True)
class PrefillToken:
    """A token of the prompt. The first one has no log-probability, as nothing precedes it."""

    id: int
    text: str
    logprob: float | None


@dataclass(frozen=True, slots=True)
class Token:
    """A generated token. `text` is empty while a character that spans tokens is incomplete."""

    id: int
    text: str
    logprob: float
    special: bool


@dataclass(frozen=True, slots=True)
class Started:
    """The job has left the queue and its prompt has been read.

    `started_at` is `time.perf_counter()` when reading began. `prefill` is empty unless the job has
    `prefill_logprobs`.
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
    """The job could not be completed. This is its last event."""

    message: str


Event: TypeAlias = Started | Generated | Failed


class SubmittedJob:
    """A job in the queue or in the batch, as its submitter sees it: it can be cancelled.

    Args:
        job: The job.
        emit: Called with each event of the job, on the batcher's thread.
    """

    __slots__ = ("_callback", "_cancelled", "job")

    def __init__(self, job: Job, emit: Callable[[Event], None]) -> None:
        self.job = job
        self._callback = emit
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """Cancel the job, from any thread; the batcher removes it before its next token.

        An event that is being emitted at this moment may still arrive, but none after it.
        """
        self._cancelled = True

    def emit(self, event: Event) -> None:
        """Pass an event to the submitter's callback, unless the job is cancelled."""
        if self._cancelled:
            return
        try:
            self._callback(event)
        except Exception:
            _logger.exception("the callback of a job failed; the job is cancelled")
            self._cancelled = True
