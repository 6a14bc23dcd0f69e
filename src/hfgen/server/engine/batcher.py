"""Continuous batching: one thread, in which jobs join and leave the batch at any token.

Between two tokens of the running jobs the thread looks at the queue, at who was cancelled, and
reads a piece of the prompts that wait, so that a long prompt does not hold up the others. A job
gets the tokens that it would get alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from hfgen.server.engine.batched_job import BatchedJob
from hfgen.server.engine.detokenizer import Vocabulary
from hfgen.server.engine.jobs import Failed, SubmittedJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from hfgen.server.engine.checkpoint import Model
    from hfgen.server.engine.interface import Engine
    from hfgen.server.engine.jobs import Event, Job

_logger = logging.getLogger(__name__)

# Jobs that generate at the same time, and tokens of a prompt that are read in one go.
_MAX_BATCH = 64
_CHUNK = 128

_SHUTTING_DOWN = "the server is shutting down"


class Batcher:
    """Runs the jobs of one model.

    Args:
        model: what `load` returned. From `start` on the engine belongs to the batcher's thread.
        max_batch: how many jobs generate at the same time; the others queue.
        chunk: how many tokens of a prompt are read before others get their next token.
    """

    def __init__(self, model: Model, *, max_batch: int = _MAX_BATCH, chunk: int = _CHUNK) -> None:
        self._model = model
        self._engine: Engine = model.engine
        self._vocabulary = Vocabulary(model.tokenizer)
        self._max_batch = max_batch
        self._chunk = chunk
        self._queue: deque[SubmittedJob] = deque()
        self._reading_prompts: deque[BatchedJob] = deque()
        self._generating: list[BatchedJob] = []
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._thread = threading.Thread(target=self._run, name="hfgen-engine", daemon=True)

    @property
    def queue_size(self) -> int:
        """How many jobs wait for a place in the batch."""
        return len(self._queue)

    @property
    def batch_size(self) -> int:
        """How many jobs are in the batch, those whose prompt is being read among them."""
        return len(self._reading_prompts) + len(self._generating)

    def start(self) -> None:
        """Start the thread, once."""
        self._thread.start()

    def submit(self, job: Job, emit: Callable[[Event], None]) -> SubmittedJob:
        """Queue a job, from any thread.

        Args:
            job: what to generate.
            emit: called with each event, on the engine's thread, which waits for it to return.
                A callback that raises cancels its job. After `stop` it is called from here, with
                `Failed`.
        """
        submitted = SubmittedJob(job, emit)
        with self._changed:
            accepted = self._deadline is None
            if accepted:
                self._queue.append(submitted)
                self._changed.notify()
        if not accepted:
            submitted.emit(Failed(_SHUTTING_DOWN))
        return submitted

    def stop(self, grace: float) -> None:
        """Take no more jobs, let the others end, and wait for the thread.

        Args:
            grace: seconds after which jobs that have not ended get `Failed`.
        """
        with self._changed:
            self._deadline = time.monotonic() + grace
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()
        else:
            self._fail_remaining()

    def _run(self) -> None:
        while self._wait_for_work():
            self._remove_cancelled()
            self._admit_jobs()
            self._read_prompts()
            self._generate_tokens()
        self._fail_remaining()

    def _wait_for_work(self) -> bool:
        """Wait for something to do; return whether there is."""
        with self._changed:
            while not (self._queue or self._reading_prompts or self._generating):
                if self._deadline is not None:
                    return False
                self._changed.wait()
            return self._deadline is None or time.monotonic() < self._deadline

    def _remove_cancelled(self) -> None:
        """Let go of what nobody waits for any more."""
        for jobs in (self._reading_prompts, self._generating):
            for batched in [batched for batched in jobs if batched.submitted.cancelled]:
                jobs.remove(batched)
                self._engine.close(batched.sequence)
        with self._changed:
            for submitted in [submitted for submitted in self._queue if submitted.cancelled]:
                self._queue.remove(submitted)

    def _admit_jobs(self) -> None:
        """Give the places that are free to those who have waited longest."""
        while self._queue and self.batch_size < self._max_batch:
            submitted = self._queue.popleft()
            try:
                self._reading_prompts.append(BatchedJob(submitted, self._model, self._vocabulary))
            except Exception as error:  # noqa: BLE001 - the thread outlives any job
                self._fail_job(submitted, error)

    def _read_prompts(self) -> None:
        """Read a chunk's worth of prompts, first come, first served."""
        budget = self._chunk
        while budget > 0 and self._reading_prompts:
            batched = self._reading_prompts[0]
            try:
                budget -= batched.read_prompt(self._chunk)
            except Exception as error:  # noqa: BLE001 - the same
                self._fail_job(batched.submitted, error)
                batched.ended = True
            if batched.ended or not batched.has_unread_prompt:
                self._reading_prompts.popleft()
                self._generating += self._close_ended(batched)

    def _generate_tokens(self) -> None:
        """Bring every job that has read its prompt one token further."""
        if not self._generating:
            return
        try:
            sequences = [batched.sequence for batched in self._generating]
            logits = self._engine.step(
                sequences, [batched.token_id for batched in self._generating]
            )
        except Exception as error:  # noqa: BLE001 - the same
            for batched in self._generating:
                self._fail_job(batched.submitted, error)
                batched.ended = True
        else:
            for batched, row in zip(self._generating, logits, strict=True):
                try:
                    batched.choose_token(row)
                except Exception as error:  # noqa: BLE001 - the same
                    self._fail_job(batched.submitted, error)
                    batched.ended = True
        self._generating = self._close_ended(*self._generating)

    def _close_ended(self, *jobs: BatchedJob) -> list[BatchedJob]:
        """Close what has ended, and return the others."""
        for batched in jobs:
            if batched.ended:
                self._engine.close(batched.sequence)
        return [batched for batched in jobs if not batched.ended]

    def _fail_job(self, submitted: SubmittedJob, error: Exception) -> None:
        _logger.error("a job has failed", exc_info=error)
        submitted.emit(Failed(str(error) or type(error).__name__))

    def _fail_remaining(self) -> None:
        """Fail what has not ended in time."""
        self._remove_cancelled()
        jobs = [*self._reading_prompts, *self._generating]
        self._reading_prompts.clear()
        self._generating.clear()
        for batched in jobs:
            self._engine.close(batched.sequence)
        handles = [*(batched.submitted for batched in jobs), *self._queue]
        self._queue.clear()
        for submitted in handles:
            submitted.emit(Failed(_SHUTTING_DOWN))
