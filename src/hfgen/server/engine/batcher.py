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

from hfgen.server.engine.detokenizer import Vocabulary
from hfgen.server.engine.jobs import Failed
from hfgen.server.engine.running_job import Handle, RunningJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from hfgen.server.engine.checkpoint import Model
    from hfgen.server.engine.interface import Engine
    from hfgen.server.engine.jobs import Event, Job

__all__ = ["Batcher", "Handle"]

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
        self._queue: deque[Handle] = deque()
        self._reading: deque[RunningJob] = deque()
        self._running: list[RunningJob] = []
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._thread = threading.Thread(target=self._work, name="hfgen-engine", daemon=True)

    @property
    def queue_size(self) -> int:
        """How many jobs wait for a place in the batch."""
        return len(self._queue)

    @property
    def batch_size(self) -> int:
        """How many jobs are in the batch, those whose prompt is being read among them."""
        return len(self._reading) + len(self._running)

    def start(self) -> None:
        """Start the thread, once."""
        self._thread.start()

    def submit(self, job: Job, emit: Callable[[Event], None]) -> Handle:
        """Queue a job, from any thread.

        Args:
            job: what to generate.
            emit: called with each event, on the engine's thread, which waits for it to return.
                A callback that raises cancels its job. After `stop` it is called from here, with
                `Failed`.
        """
        handle = Handle(job, emit)
        with self._changed:
            accepted = self._deadline is None
            if accepted:
                self._queue.append(handle)
                self._changed.notify()
        if not accepted:
            handle.tell(Failed(_SHUTTING_DOWN))
        return handle

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
            self._end()

    def _work(self) -> None:
        while self._wait():
            self._sweep()
            self._admit()
            self._read()
            self._step()
        self._end()

    def _wait(self) -> bool:
        """Wait for something to do; return whether there is."""
        with self._changed:
            while not (self._queue or self._reading or self._running):
                if self._deadline is not None:
                    return False
                self._changed.wait()
            return self._deadline is None or time.monotonic() < self._deadline

    def _sweep(self) -> None:
        """Let go of what nobody waits for any more."""
        for runs in (self._reading, self._running):
            for run in [run for run in runs if run.handle.cancelled]:
                runs.remove(run)
                self._engine.close(run.sequence)
        with self._changed:
            for handle in [handle for handle in self._queue if handle.cancelled]:
                self._queue.remove(handle)

    def _admit(self) -> None:
        """Give the places that are free to those who have waited longest."""
        while self._queue and self.batch_size < self._max_batch:
            handle = self._queue.popleft()
            try:
                self._reading.append(RunningJob(handle, self._model, self._vocabulary))
            except Exception as error:  # noqa: BLE001 - the thread outlives any job
                self._fail(handle, error)

    def _read(self) -> None:
        """Read a chunk's worth of prompts, first come, first served."""
        budget = self._chunk
        while budget > 0 and self._reading:
            run = self._reading[0]
            try:
                budget -= run.read(self._chunk)
            except Exception as error:  # noqa: BLE001 - the same
                self._fail(run.handle, error)
                run.ended = True
            if run.ended or not run.reading:
                self._reading.popleft()
                self._running += self._going_on(run)

    def _step(self) -> None:
        """Bring every job that has read its prompt one token further."""
        if not self._running:
            return
        try:
            sequences = [run.sequence for run in self._running]
            logits = self._engine.step(sequences, [run.token_id for run in self._running])
        except Exception as error:  # noqa: BLE001 - the same
            for run in self._running:
                self._fail(run.handle, error)
                run.ended = True
        else:
            for run, row in zip(self._running, logits, strict=True):
                try:
                    run.advance(row)
                except Exception as error:  # noqa: BLE001 - the same
                    self._fail(run.handle, error)
                    run.ended = True
        self._running = self._going_on(*self._running)

    def _going_on(self, *runs: RunningJob) -> list[RunningJob]:
        """Close what has ended, and return the others."""
        for run in runs:
            if run.ended:
                self._engine.close(run.sequence)
        return [run for run in runs if not run.ended]

    def _fail(self, handle: Handle, error: Exception) -> None:
        _logger.error("a job has failed", exc_info=error)
        handle.tell(Failed(str(error) or type(error).__name__))

    def _end(self) -> None:
        """Fail what has not ended in time."""
        self._sweep()
        runs = [*self._reading, *self._running]
        self._reading.clear()
        self._running.clear()
        for run in runs:
            self._engine.close(run.sequence)
        handles = [*(run.handle for run in runs), *self._queue]
        self._queue.clear()
        for handle in handles:
            handle.tell(Failed(_SHUTTING_DOWN))
