"""A batcher that is always stopped, records of its jobs, and an engine that tests control."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hfgen.server.engine.batcher import Batcher
from hfgen.server.engine.jobs import Failed, Generated, Started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hfgen.server.engine.jobs import Event, Job, SubmittedJob, Token


@dataclass
class Record:
    """The events of a job."""

    events: list[Event] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    submitted: SubmittedJob | None = None

    def emit(self, event: Event) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def wait(self, count: int) -> None:
        """Wait for some tokens, or the end."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.done or len(self.tokens) >= count, 30)

    def result(self) -> Record:
        with self.changed:
            assert self.changed.wait_for(lambda: self.done, 30)
        return self

    @property
    def done(self) -> bool:
        last = self.events[-1] if self.events else None
        return isinstance(last, Failed) or (isinstance(last, Generated) and bool(self.reason))

    @property
    def tokens(self) -> list[Token]:
        return [event.token for event in self.events if isinstance(event, Generated)]

    @property
    def ids(self) -> list[int]:
        return [token.id for token in self.tokens]

    @property
    def started(self) -> Started:
        assert isinstance(self.events[0], Started)
        return self.events[0]

    @property
    def reason(self) -> str | None:
        last = self.events[-1]
        return last.finish_reason if isinstance(last, Generated) else None

    @property
    def failure(self) -> str:
        assert isinstance(self.events[-1], Failed)
        return self.events[-1].message

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens if not token.special)


class JobRunner:
    """A batcher, with the jobs submitted to it."""

    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher

    def submit(self, job: Job) -> Record:
        record = Record()
        record.submitted = self.batcher.submit(job, record.emit)
        return record

    def run(self, job: Job) -> Record:
        return self.submit(job).result()


@pytest.fixture
def start_runner() -> Iterator[Callable[..., JobRunner]]:
    batchers = []

    def start(model: Any, **options: Any) -> JobRunner:
        batcher = Batcher(model, **options)
        batcher.start()
        batchers.append(batcher)
        return JobRunner(batcher)

    yield start
    for batcher in batchers:
        batcher.stop(0)


class CountingEngine:
    """Counts up from the last token; a test can make it wait or fail.

    While `gated` is set, each call takes a ticket. `log` has the calls.
    """

    vocab_size = 300
    max_positions = 1000

    def __init__(self):
        self.log = []
        self.open_sequences = set()
        self.tickets = threading.Semaphore(0)
        self.gated = False
        self.entered = threading.Semaphore(0)
        self.failing_on = {}

    def open(self):
        sequence = len(self.log)
        self.log.append(("open", sequence))
        self.open_sequences.add(sequence)
        return sequence

    def extend(self, sequence, token_ids, *, every_position=False):
        self._enter(("extend", sequence, len(token_ids)), token_ids)
        return self._logits(token_ids if every_position else token_ids[-1:])

    def step(self, sequences, token_ids):
        assert set(sequences) <= self.open_sequences
        assert len(set(sequences)) == len(sequences)
        self._enter(("step", *sequences), token_ids)
        return self._logits(token_ids)

    def close(self, sequence):
        self.open_sequences.discard(sequence)

    def _enter(self, entry, token_ids):
        self.entered.release()
        if self.gated:
            assert self.tickets.acquire(timeout=30)
        self.log.append(entry)
        for token_id in token_ids:
            if token_id in self.failing_on:
                raise self.failing_on[token_id]

    def _logits(self, token_ids):
        rows = np.zeros((len(token_ids), self.vocab_size), np.float32)
        for row, token_id in zip(rows, token_ids, strict=True):
            row[(token_id + 1) % self.vocab_size] = 20
        return rows


@pytest.fixture
def counting_model(model):
    return replace(model, engine=CountingEngine(), eos_ids=frozenset({250}))


@pytest.fixture
def wait_until():
    def wait(condition):
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    return wait
