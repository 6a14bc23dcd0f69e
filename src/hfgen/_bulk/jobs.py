"""`Job`, a row without a result, and `Jobs`, the queue of those that wait for an attempt. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hfgen._bulk.servers import Server

Row = TypeVar("Row")


@dataclass(slots=True, eq=False)
class Job(Generic[Row]):
    """A row that has been taken from the input and has no result yet.

    Attributes:
        index: The row's position in the input, from 0.
        row: The row as it was given.
        request: The request that it makes.
        stream: Whether the answer is to be read as a stream.
        attempts: How many attempts have begun.
        failures: How many attempts have failed and count against `max_retries`.
        last_server: The server of the last attempt.
        refusals: How many attempts a server has refused, overloaded or while its model loaded.
        refused_since: When the first attempt was refused; infinity if none was.
        refused_start: When the last attempt began that was refused; infinity if none was.
        singled_out: How many times it was refused although the server had answered other requests
            that were sent since the attempt that was refused before.
    """

    index: int
    row: Row
    request: Mapping[str, Any]
    stream: bool
    attempts: int = 0
    failures: int = 0
    last_server: Server | None = None
    refusals: int = 0
    refused_since: float = float("inf")
    refused_start: float = float("inf")
    singled_out: int = 0


class Jobs(Generic[Row]):
    """The jobs that wait for an attempt, some of them up to a certain time.

    Jobs that a server has refused take turns with the others, so that rows that are always refused
    do not hold up others, and others do not hold up rows that were refused by chance.
    """

    def __init__(self) -> None:
        self._ready: deque[Job[Row]] = deque()
        self._refused: deque[Job[Row]] = deque()
        self._is_turn_of_refused = False
        # A heap: (when, index, job).
        self._delayed: list[tuple[float, int, Job[Row]]] = []

    def __len__(self) -> int:
        return len(self._ready) + len(self._refused) + len(self._delayed)

    @property
    def ready_count(self) -> int:
        """How many jobs may be tried now that no server has refused."""
        return len(self._ready)

    @property
    def delayed_until(self) -> float | None:
        """When the first of the delayed jobs may be tried; None if there are none."""
        return self._delayed[0][0] if self._delayed else None

    def add(self, job: Job[Row]) -> None:
        """Put a job behind those that wait already."""
        (self._refused if job.refusals else self._ready).append(job)

    def delay(self, job: Job[Row], until: float) -> None:
        """Add a job when this time has come."""
        heapq.heappush(self._delayed, (until, job.index, job))

    def add_delayed(self, now: float) -> None:
        """Add the delayed jobs whose time has come."""
        while self._delayed and self._delayed[0][0] <= now:
            self.add(heapq.heappop(self._delayed)[2])

    @property
    def first(self) -> Job[Row] | None:
        """The next job, None if there is none."""
        jobs = self._choose()
        return jobs[0] if jobs else None

    def pop(self) -> Job[Row]:
        """Remove the next job, and return it."""
        jobs = self._choose()
        self._is_turn_of_refused = jobs is self._ready
        return jobs.popleft()

    def clear(self) -> list[Job[Row]]:
        """Remove all jobs, and return them."""
        jobs = [*self._ready, *self._refused, *(job for _, _, job in self._delayed)]
        self._ready.clear()
        self._refused.clear()
        self._delayed.clear()
        return jobs

    def _choose(self) -> deque[Job[Row]]:
        is_refused = self._refused and (self._is_turn_of_refused or not self._ready)
        return self._refused if is_refused else self._ready
