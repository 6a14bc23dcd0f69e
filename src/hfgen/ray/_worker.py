"""What Ray Data makes one of in each of its actors."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import ray

from hfgen._errors import HfgenError
from hfgen.ray._asker import Asker
from hfgen.ray._columns import with_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray.actor import ActorHandle

    from hfgen._bulk.result import BulkResult
    from hfgen._bulk.statistics import BulkStatistics
    from hfgen._bulk_files.row import Row
    from hfgen.ray._plan import Plan

# Rows that are made Python objects at a time.
_SLICE = 256


class Worker:
    """Turns a block of rows into the block of these rows and what came of them.

    Threads may share it.

    Args:
        plan: What to ask.
    """

    def __init__(self, plan: Plan) -> None:
        self._asker = Asker(plan)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the output block: one table, whole, in the order of the input.

        Not a part at a time, as a generator could: if a worker is lost in the middle of a block,
        Ray has another do all of it, and goes on behind the parts that the first had handed out.
        Where these held what was done first, rows would be lost, and others doubled.

        Raises:
            HfgenError: No server can be asked at all.
        """
        return with_answers(table, self._asker.ask(_rows(table)))


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for start in range(0, table.num_rows, _SLICE):
        yield from table.slice(start, _SLICE).to_pylist()


class Outcome(NamedTuple):
    """What came of a block.

    Attributes:
        worker: Which worker had it.
        statistics: What has been in that worker.
        results: What came of the rows; or why no server can be asked at all. As a value: of an
            exception, Ray Data hands on the text of its traceback.
    """

    worker: str
    statistics: BulkStatistics
    results: list[BulkResult[Row]] | HfgenError


class BlockWorker:
    """Turns the numbers of blocks into what came of their rows. Threads may share it.

    Args:
        plan: What to ask.
        feeder: Has the blocks.
    """

    def __init__(self, plan: Plan, feeder: ActorHandle) -> None:
        self._asker = Asker(plan)
        self._feeder = feeder
        self._name = ray.get_runtime_context().get_actor_id()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the numbers, and the pickles of their outcomes."""
        numbers = table["id"].to_pylist()
        outcomes = [pickle.dumps(self._outcome(number)) for number in numbers]
        return pa.table({"id": numbers, "outcome": outcomes})

    def _outcome(self, number: int) -> Outcome:
        results: list[BulkResult[Row]] | HfgenError
        try:
            results = self._asker.ask(ray.get(self._feeder.take.remote(number)))
        except HfgenError as error:
            results = error
        return Outcome(self._name, self._asker.statistics, results)
