"""The engine of `hfgen bulk --engine ray`: blocks of rows to the workers, results back.

Its workers are plain actors, and there is no dataset: one that is left in the middle leaves threads
behind which still call Ray (`ray/data/_internal/block_batching/util.py`, `iter_threaded`), and
whoever calls Ray while it is shut down ends the process.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import ray
from ray.exceptions import RayError, RayTaskError

from hfgen._bulk.results import BulkStatistics
from hfgen._core.errors import HfgenError
from hfgen.ray._plan import calls_at_once
from hfgen.ray._statistics import together
from hfgen.ray._worker import BlockWorker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from hfgen._bulk.results import BulkResult
    from hfgen._files.row import Row
    from hfgen.ray._plan import Plan
    from hfgen.ray._worker import Outcome

# If so many workers are lost with the same rows, it is the rows that do it.
_MOST_LOSSES = 10
# Lost more often than that, rows are asked for with no others in their worker.
_LOSSES_IN_COMPANY = 1
# Seconds between two looks at whether there is still something to wait for.
_TICK = 0.5
# Seconds that closing waits for the thread that may be inside of Ray.
_FAREWELL = 10.0


@dataclass(slots=True, eq=False)
class _Block:
    rows: list[Row]
    losses: int = 0


@dataclass(slots=True, eq=False)
class _Worker:
    actor: Any
    is_there: bool = False
    under_way: int = 0
    statistics: BulkStatistics = field(default_factory=BulkStatistics)


class RayBulk:
    """The results of rows, a block after the other: an iterable, once, and a context manager.

    A block is held until its results are here; if its worker is lost, it goes to another one.

    Args:
        rows: The rows; iterated where the results are.
        plan: What each worker asks.
        workers: How many workers.
        rows_per_block: How many rows go to a worker, and come back, together.
        num_cpus: How many processors Ray sets aside for each worker.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        plan: Plan,
        *,
        workers: int,
        rows_per_block: int,
        num_cpus: float = 1.0,
    ) -> None:
        self._rows = iter(rows)
        self._rows_per_block = rows_per_block
        self._calls = calls_at_once(plan, rows_per_block)
        self._lost: list[_Block] = []
        # Whether no further block is begun.
        self._ends = False
        self._read_error: Exception | None = None
        self._closed = False
        self._in_ray = threading.Lock()
        actor = ray.remote(BlockWorker).options(
            num_cpus=num_cpus,
            max_concurrency=self._calls,
            max_restarts=-1,
            scheduling_strategy="SPREAD",
        )
        self._workers = [_Worker(actor.remote(plan)) for _ in range(workers)]
        # By Ray's references: a worker that starts has no block.
        self._awaited: dict[Any, tuple[_Worker, _Block | None]] = {}
        for worker in self._workers:
            self._start(worker)

    @property
    def statistics(self) -> BulkStatistics:
        """What had been when each worker was last heard of, but for those that were lost since."""
        return together([worker.statistics for worker in self._workers])

    def __iter__(self) -> Iterator[BulkResult[Row]]:
        """Yield the results of blocks as they are done.

        Raises:
            HfgenError: No server can be asked, Ray cannot go on, or what reading the rows raises.
        """
        while True:
            try:
                # Not while they are handed out: whoever takes them may never come back.
                with self._in_ray:
                    results = self._next()
            except RayError as error:
                raise HfgenError(f"Ray cannot go on: {error}") from error
            if results is None:
                break
            yield from results
        if self._read_error is not None:
            raise self._read_error

    def _next(self) -> list[BulkResult[Row]] | None:
        while not self._closed:
            under_way = any(block for _, block in self._awaited.values())
            if self._ends and not self._lost and not under_way:
                break
            for reference in ray.wait(list(self._awaited), timeout=_TICK)[0]:
                results = self._arrived(reference)
                # Before they are handed out: the worker is busy meanwhile.
                self._hand_out()
                if results is not None:
                    return results
        return None

    def _hand_out(self) -> None:
        while worker := min(
            (each for each in self._workers if each.is_there and each.under_way < self._calls),
            key=lambda each: each.under_way,
            default=None,
        ):
            # Lost ones first: one that waits for an idle worker would not see one otherwise.
            room = self._calls - worker.under_way
            block = self._fitting(room) if self._lost else self._read()
            if block is None:
                return
            worker.under_way += self._share(block)
            self._awaited[worker.actor.ask.remote(block.rows)] = worker, block

    def _share(self, block: _Block) -> int:
        """Return how many of a worker's calls a block takes up."""
        return self._calls if block.losses > _LOSSES_IN_COMPANY else 1

    def _fitting(self, room: int) -> _Block | None:
        for block in self._lost:
            if self._share(block) <= room:
                self._lost.remove(block)
                return block
        return None

    def _read(self) -> _Block | None:
        if self._ends:
            return None
        try:
            rows = list(islice(self._rows, self._rows_per_block))
        except Exception as error:  # noqa: BLE001 - raised when what was read before it is done
            self._read_error = error
            rows = []
        if rows:
            return _Block(rows)
        self._ends = True
        return None

    def _arrived(self, reference: Any) -> list[BulkResult[Row]] | None:
        worker, block = self._awaited.pop(reference)
        if block is not None:
            worker.under_way -= self._share(block)
        try:
            outcome: Outcome | None = ray.get(reference)
        except RayTaskError as error:
            raise HfgenError(f"a worker cannot go on: {error}") from error
        except RayError as error:
            if not self._closed:
                self._lose(worker, block, error)
            return None
        if outcome is None:
            worker.is_there = True
            return None
        if worker.is_there:
            worker.statistics = outcome.statistics
        if isinstance(outcome.results, HfgenError):
            raise outcome.results
        return outcome.results

    def _lose(self, worker: _Worker, block: _Block | None, error: RayError) -> None:
        if block is None:
            self._workers.remove(worker)
            if not self._workers:
                raise HfgenError(f"no worker can be started: {error}") from error
            return
        block.losses += 1
        if block.losses == _MOST_LOSSES:
            raise HfgenError(
                f"{_MOST_LOSSES} workers were lost with rows {block.rows[0].index} to "
                f"{block.rows[-1].index}, the last one so: {error}"
            ) from error
        self._lost.append(block)
        if worker.is_there:
            worker.is_there = False
            # Some of these rows are asked for again, and would be counted twice.
            worker.statistics = BulkStatistics()
            self._start(worker)

    def _start(self, worker: _Worker) -> None:
        # It waits for Ray to start the worker, as often as that must.
        start = worker.actor.start.options(max_task_retries=-1)
        self._awaited[start.remote()] = worker, None

    def drain(self) -> None:
        """Begin no further blocks: those under way end, and are handed out. Any thread may call."""
        self._ends = True

    def close(self) -> None:
        """Give up what is under way. Another thread that waits for results gets no more."""
        if self._closed:
            return
        self._closed = True
        for worker in list(self._workers):
            ray.kill(worker.actor)
        # Once nobody is in there, nobody calls Ray any more, which may be shut down then.
        if self._in_ray.acquire(timeout=_FAREWELL):
            self._in_ray.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
