"""Continuous batching: one thread runs all jobs, which join and leave the batch at any token.

`start` starts the thread; `submit` queues a job from any thread. The thread repeats these steps:
remove cancelled jobs; move jobs from the queue into the batch; read one chunk of the prompts that
are not read yet, so that a long prompt does not hold up the others; generate one token for each job
that has read its prompt. `stop` refuses new jobs, waits for the others, and fails those that
have not ended in time. A job gets the tokens that it would get alone.
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

# The default number of jobs in the batch, and of prompt tokens read between two generated tokens.
_MAX_BATCH = 64
_CHUNK = 128

_SHUTTING_DOWN = "the server is shutting down"


class Batcher:
    """Runs the jobs of one model on a thread of its own.

    Args:
        model: What `load_checkpoint` returned. From `start` on, only the batcher's thread may use
            its engine.
        max_batch: How many jobs are in the batch at the same time; the others wait in the queue.
        chunk: How many tokens of prompts are read before the other jobs get their next token.
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
        """How many jobs are in the batch, including those whose prompt is still being read."""
        return len(self._reading_prompts) + len(self._generating)

    def start(self) -> None:
        """Start the thread, once."""
        self._thread.start()

    def submit(self, job: Job, emit: Callable[[Event], None]) -> SubmittedJob:
        """Queue a job, from any thread.

        Args:
            job: What to generate.
            emit: Called with each event, on the batcher's thread, which waits for it to return.
                If it raises, its job is cancelled. After `stop`, `submit` itself calls it, with
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
        """Refuse new jobs, let the others end, and wait for the thread.

        Args:
            grace: Seconds after which jobs that have not ended get `Failed`.
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
        """Wait until there is a job; return False when the thread should end."""
        with self._changed:
            while not (self._queue or self._reading_prompts or self._generating):
                if self._deadline is not None:
                    return False
                self._changed.wait()
            return self._deadline is None or time.monotonic() < self._deadline

    def _remove_cancelled(self) -> None:
        """Remove cancelled jobs from the batch and the queue."""
        for jobs in (self._reading_prompts, self._generating):
            for batched in [batched for batched in jobs if batched.submitted.cancelled]:
                jobs.remove(batched)
                self._engine.close(batched.sequence)
        with self._changed:
            for submitted in [submitted for submitted in self._queue if submitted.cancelled]:
                self._queue.remove(submitted)

    def _admit_jobs(self) -> None:
        """Fill the free places of the batch from the queue, oldest job first."""
        while self._queue and self.batch_size < self._max_batch:
            submitted = self._queue.popleft()
            try:
                self._reading_prompts.append(BatchedJob(submitted, self._model, self._vocabulary))
            except Exception as error:  # noqa: BLE001 - a failing job must not end the thread
                self._fail_job(submitted, error)

    def _read_prompts(self) -> None:
        """Read about one chunk of prompts, oldest job first."""
        budget = self._chunk
        while budget > 0 and self._reading_prompts:
            batched = self._reading_prompts[0]
            try:
                budget -= batched.read_prompt(self._chunk)
            except Exception as error:  # noqa: BLE001 - as above
                self._fail_job(batched.submitted, error)
                batched.ended = True
            if batched.ended or not batched.has_unread_prompt:
                self._reading_prompts.popleft()
                self._generating += self._close_finished_jobs(batched)

    def _generate_tokens(self) -> None:
        """Generate one token for every job that has read its prompt."""
        if not self._generating:
            return
        try:
            sequences = [batched.sequence for batched in self._generating]
            logits = self._engine.step(
                sequences, [batched.token_id for batched in self._generating]
            )
        except Exception as error:  # noqa: BLE001 - as above
            for batched in self._generating:
                self._fail_job(batched.submitted, error)
                batched.ended = True
        else:
            for batched, row in zip(self._generating, logits, strict=True):
                try:
                    batched.choose_token(row)
                except Exception as error:  # noqa: BLE001 - as above
                    self._fail_job(batched.submitted, error)
                    batched.ended = True
        self._generating = self._close_finished_jobs(*self._generating)

    def _close_finished_jobs(self, *jobs: BatchedJob) -> list[BatchedJob]:
        """Close the sequences of jobs that have ended; return the other jobs."""
        for batched in jobs:
            if batched.ended:
                self._engine.close(batched.sequence)
        return [batched for batched in jobs if not batched.ended]

    def _fail_job(self, submitted: SubmittedJob, error: Exception) -> None:
        _logger.error("a job has failed", exc_info=error)
        submitted.emit(Failed(str(error) or type(error).__name__))

    def _fail_remaining(self) -> None:
        """Fail the jobs that have not ended in time, and those still in the queue."""
        self._remove_cancelled()
        jobs = [*self._reading_prompts, *self._generating]
        self._reading_prompts.clear()
        self._generating.clear()
        for batched in jobs:
            self._engine.close(batched.sequence)
        unfinished = [*(batched.submitted for batched in jobs), *self._queue]
        self._queue.clear()
        for submitted in unfinished:
            submitted.emit(Failed(_SHUTTING_DOWN))
