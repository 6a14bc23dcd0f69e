"""One generation of a request: its job, the tokens so far, and its durations. No I/O."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from hfgen.server.http.metrics import Timings

if TYPE_CHECKING:
    from hfgen.server.engine.jobs import (
        FinishReason,
        Generated,
        Job,
        PrefillToken,
        SubmittedJob,
        Token,
    )


class Generation:
    """One job of a request, and the tokens that it has generated so far.

    Attributes:
        index: The number of this generation in its request, from 0.
        offsets: For each token, where it begins in `text`, in characters.
        received_at: When the request arrived, as `time.perf_counter()`; likewise the next two.
        queued_at: When the job was handed to the batcher.
        started_at: When the engine began to read the prompt.
    """

    __slots__ = (
        "_length",
        "finish_reason",
        "index",
        "job",
        "offsets",
        "prefill",
        "queued_at",
        "received_at",
        "started_at",
        "submitted",
        "tokens",
        "top_tokens",
    )

    def __init__(self, job: Job, *, index: int, received_at: float, queued_at: float) -> None:
        self.job = job
        self.index = index
        self.received_at = received_at
        self.queued_at = self.started_at = queued_at
        self.submitted: SubmittedJob | None = None
        self.prefill: tuple[PrefillToken, ...] = ()
        self.tokens: list[Token] = []
        self.offsets: list[int] = []
        self._length = 0
        self.top_tokens: list[tuple[Token, ...]] = []
        self.finish_reason: FinishReason | None = None

    def add(self, event: Generated) -> None:
        self.tokens.append(event.token)
        self.offsets.append(self._length)
        if not event.token.special:
            self._length += len(event.token.text)
        if self.job.top_n_tokens:
            self.top_tokens.append(event.top_tokens)
        self.finish_reason = event.finish_reason

    @property
    def text(self) -> str:
        """The generated text, without the special tokens."""
        return "".join(token.text for token in self.tokens if not token.special)

    @property
    def seed(self) -> int | None:
        """The seed, or None where the generation is greedy and uses none."""
        sampling = self.job.sampling
        return sampling.seed if sampling.do_sample else None

    @property
    def mean_logprob(self) -> float:
        return sum(token.logprob for token in self.tokens) / len(self.tokens)

    def timings(self) -> Timings:
        """Return the durations of this generation, measured up to now."""
        now = perf_counter()
        return Timings(
            total=now - self.received_at,
            validation=self.queued_at - self.received_at,
            queue=self.started_at - self.queued_at,
            inference=now - self.started_at,
            prompt_tokens=len(self.job.input_ids),
            generated_tokens=len(self.tokens),
        )
