"""`RayBulk`, the engine of `hfgen bulk --engine ray`: blocks of rows to workers, results back.

`RayBulk` starts its workers as plain actors. It reads a block of rows whenever a worker has a free
slot for one, sends the block there, and yields the results of blocks as they are done. A block
stays here until then: if its worker is lost, the block is sent to another worker.

It uses no Ray dataset. A dataset that is left before its end leaves threads behind that still call
Ray (`ray/data/_internal/block_batching/util.py`, `iter_threaded`), and a call while Ray is being
shut down ends the process.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import ray
from ray.exceptions import RayError, RayTaskError

from hfgen._bulk.results import BulkStatistics, ServerStatistics
from hfgen._core.errors import HfgenError
from hfgen.ray._plan import count_blocks_at_once
from hfgen.ray._worker import BlockWorker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from hfgen._bulk.results import BulkResult
    from hfgen._files.row import Row
    from hfgen.ray._plan import WorkerPlan
    from hfgen.ray._worker import Outcome

# If this many workers are lost with the same rows, the rows are taken for the cause.
_MAX_LOSSES = 10
# A block that was lost more often than this has a worker for itself, because other blocks in the
# same worker would be lost with it.
_MAX_SHARED_LOSSES = 1
# Seconds after which waiting for results checks whether the run was drained or closed.
_POLL_INTERVAL = 0.5
# Seconds that `close` waits for another thread that is inside a call of Ray.
_CLOSE_TIMEOUT = 10.0


@dataclass(slots=True, eq=False)
class _Block:
    rows: list[Row]
    losses: int = 0


@dataclass(slots=True, eq=False)
class _WorkerState:
    """What is known here of a worker.

    Attributes:
        actor: Ray's handle of the worker.
        is_ready: Whether Ray has started the worker.
        used_slots: How many of its slots for blocks are in use.
        statistics: Its counts, as they came with its last results.
    """

    actor: Any
    is_ready: bool = False
    used_slots: int = 0
    statistics: BulkStatistics = field(default_factory=BulkStatistics)


class RayBulk:
    """The results of rows, one block after the other: an iterable, once, and a context manager.

    Args:
        rows: The rows. The thread that iterates over the results iterates over the rows, too.
        plan: The plan of each worker.
        workers: How many workers to start.
        rows_per_block: How many rows make a block.
        num_cpus: How many processors Ray reserves for each worker.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        plan: WorkerPlan,
        *,
        workers: int,
        rows_per_block: int,
        num_cpus: float = 1.0,
    ) -> None:
        self._rows = iter(rows)
        self._rows_per_block = rows_per_block
        self._slots_per_worker = count_blocks_at_once(plan, rows_per_block)
        self._lost_blocks: list[_Block] = []
        # Whether no further block is read: the rows are at their end, or `drain` was called.
        self._has_all_rows = False
        self._read_error: Exception | None = None
        self._is_closed = False
        # Held by the iterating thread while it calls Ray.
        self._ray_lock = threading.Lock()
        actor = ray.remote(BlockWorker).options(
            num_cpus=num_cpus,
            max_concurrency=self._slots_per_worker,
            max_restarts=-1,
            scheduling_strategy="SPREAD",
        )
        self._workers = [_WorkerState(actor.remote(plan)) for _ in range(workers)]
        # Calls of workers by Ray's references: of `run` with its block, of `start` with None.
        self._calls: dict[Any, tuple[_WorkerState, _Block | None]] = {}
        for worker in self._workers:
            self._start_worker(worker)

    @property
    def statistics(self) -> BulkStatistics:
        """The sum of the workers' counts, as they came with each worker's last results.

        The counts of a worker that was lost are left out.
        """
        return sum_statistics([worker.statistics for worker in self._workers])

    def __iter__(self) -> Iterator[BulkResult[Row]]:
        """Yield the results of blocks as they are done.

        Raises:
            HfgenError: Requests fail for all rows alike, or Ray fails.
            Exception: What reading the rows raises, after the results of the rows before.
        """
        while True:
            try:
                # Not held during `yield`: the iteration may be left there and never go on.
                with self._ray_lock:
                    results = self._wait_for_results()
            except RayError as error:
                raise HfgenError(f"Ray cannot go on: {error}") from error
            if results is None:
                break
            yield from results
        if self._read_error is not None:
            raise self._read_error

    def _wait_for_results(self) -> list[BulkResult[Row]] | None:
        """Return the results of the next block that is done; None after the last block."""
        while not self._is_closed:
            has_running_blocks = any(block for _, block in self._calls.values())
            if self._has_all_rows and not self._lost_blocks and not has_running_blocks:
                break
            for reference in ray.wait(list(self._calls), timeout=_POLL_INTERVAL)[0]:
                results = self._receive(reference)
                # Before the results are yielded, so that the worker has work meanwhile.
                self._send_blocks()
                if results is not None:
                    return results
        return None

    def _send_blocks(self) -> None:
        """Send blocks to the workers with the most free slots, as long as there are both."""
        while worker := min(
            (
                worker
                for worker in self._workers
                if worker.is_ready and worker.used_slots < self._slots_per_worker
            ),
            key=lambda worker: worker.used_slots,
            default=None,
        ):
            # While there are lost blocks, no new ones are read: a lost block that needs a whole
            # worker would otherwise never find one without other blocks.
            free_slots = self._slots_per_worker - worker.used_slots
            block = self._take_lost_block(free_slots) if self._lost_blocks else self._read_block()
            if block is None:
                return
            worker.used_slots += self._count_slots(block)
            self._calls[worker.actor.run.remote(block.rows)] = worker, block

    def _count_slots(self, block: _Block) -> int:
        """Return how many of a worker's slots a block uses."""
        return self._slots_per_worker if block.losses > _MAX_SHARED_LOSSES else 1

    def _take_lost_block(self, free_slots: int) -> _Block | None:
        for block in self._lost_blocks:
            if self._count_slots(block) <= free_slots:
                self._lost_blocks.remove(block)
                return block
        return None

    def _read_block(self) -> _Block | None:
        if self._has_all_rows:
            return None
        try:
            rows = list(islice(self._rows, self._rows_per_block))
        except Exception as error:  # noqa: BLE001 - `__iter__` raises it after the last results
            self._read_error = error
            rows = []
        if rows:
            return _Block(rows)
        self._has_all_rows = True
        return None

    def _receive(self, reference: Any) -> list[BulkResult[Row]] | None:
        """Take what a call of a worker returned; return the results if it was one of `run`.

        Raises:
            HfgenError: Requests fail for all rows alike, or the worker cannot go on.
        """
        worker, block = self._calls.pop(reference)
        if block is not None:
            worker.used_slots -= self._count_slots(block)
        try:
            outcome: Outcome | None = ray.get(reference)
        except RayTaskError as error:
            raise HfgenError(f"a worker cannot go on: {error}") from error
        except RayError as error:
            if not self._is_closed:
                self._handle_loss(worker, block, error)
            return None
        if outcome is None:
            worker.is_ready = True
            return None
        if worker.is_ready:
            worker.statistics = outcome.statistics
        if isinstance(outcome.results, HfgenError):
            raise outcome.results
        return outcome.results

    def _handle_loss(self, worker: _WorkerState, block: _Block | None, error: RayError) -> None:
        """Start a lost worker again, and keep its block for later. Drop one that never started.

        Raises:
            HfgenError: No worker can be started, or the block was lost too often.
        """
        if block is None:
            self._workers.remove(worker)
            if not self._workers:
                raise HfgenError(f"no worker can be started: {error}") from error
            return
        block.losses += 1
        if block.losses == _MAX_LOSSES:
            raise HfgenError(
                f"{_MAX_LOSSES} workers were lost with rows {block.rows[0].index} to "
                f"{block.rows[-1].index}, the last one with this error: {error}"
            ) from error
        self._lost_blocks.append(block)
        # All blocks of a lost worker come here; the first one starts the worker again.
        if worker.is_ready:
            worker.is_ready = False
            # Some of the worker's rows are repeated, and would be counted twice.
            worker.statistics = BulkStatistics()
            self._start_worker(worker)

    def _start_worker(self, worker: _WorkerState) -> None:
        # Without a limit of retries, this call outlives as many restarts as Ray needs.
        start = worker.actor.start.options(max_task_retries=-1)
        self._calls[start.remote()] = worker, None

    def drain(self) -> None:
        """Read no further rows: the iteration ends after the blocks that workers have now.

        Any thread may call this.
        """
        self._has_all_rows = True

    def close(self) -> None:
        """Stop the workers. An iteration in another thread ends without further results."""
        if self._is_closed:
            return
        self._is_closed = True
        for worker in list(self._workers):
            ray.kill(worker.actor)
        # Once this has the lock, no thread is inside a call of Ray, which may then be shut down.
        if self._ray_lock.acquire(timeout=_CLOSE_TIMEOUT):
            self._ray_lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def connect_to_ray(address: str | None = None, *, workers: int | None = None) -> Iterator[None]:
    """Connect to a Ray cluster, and disconnect at the end of the context.

    Ray's own display is off. A Ray that is started here sends no usage statistics, unless the
    environment wants them (`RAY_USAGE_STATS_ENABLED=1`).

    Args:
        address: The address of the cluster, as `ray.init` takes it. Default: `RAY_ADDRESS`, or else
            a Ray that is started on this machine and stopped at the end.
        workers: How many workers there will be. A Ray that is started here has at least as many
            processors.

    Raises:
        HfgenError: The connection fails.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options = {}
    if address == "local":
        options = {
            "num_cpus": max(os.cpu_count() or 1, workers or 1),
            "include_dashboard": False,
        }
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise HfgenError(f"cannot connect to Ray at {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def sum_statistics(parts: Iterable[BulkStatistics]) -> BulkStatistics:
    """Return the sum of several workers' counts. A server rests if it rests for all of them."""
    total = BulkStatistics()
    servers: dict[str, ServerStatistics] = {}
    for part in parts:
        _add_counts(part, total)
        total.errors.update(part.errors)
        for server in part.servers:
            server_total = servers.setdefault(server.url, ServerStatistics(server.url, rests=True))
            _add_counts(server, server_total)
            server_total.rests = server_total.rests and server.rests
    total.servers = list(servers.values())
    return total


def _add_counts(part: Any, total: Any) -> None:
    for count in fields(part):
        if count.type == "int":
            setattr(total, count.name, getattr(total, count.name) + getattr(part, count.name))
