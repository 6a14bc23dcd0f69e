"""The engine of `hfgen bulk --engine ray`: rows from the driver to the workers, results back."""

from __future__ import annotations

import pickle
import threading
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hfgen._errors import HfgenError
from hfgen.ray._feeder import Feeder
from hfgen.ray._generate import apply
from hfgen.ray._statistics import together
from hfgen.ray._worker import BlockWorker, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from hfgen._bulk.result import BulkResult
    from hfgen._bulk.statistics import BulkStatistics
    from hfgen._bulk_files.row import Row
    from hfgen.ray._plan import Plan


# Seconds that closing waits for each thread which may still be inside of Ray.
_FAREWELL = 10.0


class RayBulk:
    """The results of rows, a block after the other: an iterable, once, and a context manager.

    Rows go to the workers in blocks. A block is held until its results are here, should a worker be
    lost.

    Args:
        rows: The rows; iterated in a thread.
        count: How many there are.
        plan: What each worker asks.
        workers: How many workers.
        rows_per_block: How many rows go to a worker, and come back, together.
        num_cpus: How many processors Ray sets aside for each worker.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        count: int,
        plan: Plan,
        *,
        workers: int,
        rows_per_block: int,
        num_cpus: float = 1.0,
    ) -> None:
        self._rows = iter(rows)
        self._rows_per_block = rows_per_block
        self._read_error: Exception | None = None
        self._draining = False
        self._threads: list[threading.Thread] = []
        self._statistics: dict[str, BulkStatistics] = {}
        # Beside the driver, if that is in the cluster.
        node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._feeder: Any = (
            ray.remote(Feeder)
            .options(num_cpus=0, scheduling_strategy=node)
            .remote(ahead=2 * workers + 2)
        )
        numbers = ray.data.range(-(-count // rows_per_block)).repartition(
            target_num_rows_per_block=1
        )
        self._dataset = apply(
            numbers,
            BlockWorker,
            plan,
            self._feeder,
            workers=workers,
            rows_per_block=rows_per_block,
            num_cpus=num_cpus,
        )

    @property
    def statistics(self) -> BulkStatistics:
        """What had been when each worker was last heard of."""
        return together(list(self._statistics.values()))

    def __iter__(self) -> Iterator[BulkResult[Row]]:
        """Yield the results of blocks as they are done.

        Raises:
            HfgenError: No server can be asked, Ray cannot go on, or what reading the rows raises.
        """
        self._threads.append(threading.current_thread())
        self._start(self._feed, "hfgen-feed")
        try:
            for results in self._finished():
                yield from results
        except RayError as error:
            raise self._read_error or HfgenError(f"Ray cannot go on: {error}") from error
        if self._read_error is not None:
            raise self._read_error

    def _finished(self) -> Iterator[list[BulkResult[Row]]]:
        tables = self._dataset.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        )
        under_way: set[int] | None = None
        for table in tables:
            for row in table.to_pylist():
                outcome: Outcome = pickle.loads(row["outcome"])  # noqa: S301 - our own worker's
                self._statistics[outcome.worker] = outcome.statistics
                if isinstance(outcome.results, HfgenError):
                    raise outcome.results
                self._feeder.drop.remote(row["id"])
                if under_way is not None:
                    under_way.discard(row["id"])
                yield outcome.results
            if self._draining and under_way is None:
                # Calls from one thread arrive in order: what is here has been dropped.
                under_way = ray.get(self._feeder.under_way.remote())
            if under_way is not None and not under_way:
                return

    def drain(self) -> None:
        """Begin no further blocks: those under way end, and are handed out. Any thread may call."""
        self._draining = True
        # In a thread, because a signal may have come while Ray holds a lock.
        self._start(self._stop, "hfgen-drain")

    def _start(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _stop(self) -> None:
        with suppress(RayError):
            ray.get(self._feeder.stop.remote())

    def _feed(self) -> None:
        number = 0
        try:
            while block := list(islice(self._rows, self._rows_per_block)):
                ray.get(self._feeder.put.remote(number, block))
                number += 1
            ray.get(self._feeder.end.remote())
        except RayError:
            # The feeder was ended: nobody wants more.
            return
        except Exception as error:  # noqa: BLE001 - it is raised where the records are taken
            self._read_error = error
            self.drain()

    def close(self) -> None:
        """Give up what is under way."""
        ray.kill(self._feeder)
        # Whoever calls Ray while it is shut down ends the process.
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_FAREWELL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
