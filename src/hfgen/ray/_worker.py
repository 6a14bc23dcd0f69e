"""What there is one of in each worker, an actor of Ray: of Ray Data's, or of the command's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hfgen._core.errors import HfgenError
from hfgen.ray._block_runner import Asker
from hfgen.ray._columns import with_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from hfgen._bulk.results import BulkResult, BulkStatistics
    from hfgen._files.row import Row
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
        statistics: What has been in the worker.
        results: What came of the rows; or why no server can be asked at all. As a value: of an
            exception, Ray hands on a wrapper of its own.
    """

    statistics: BulkStatistics
    results: list[BulkResult[Row]] | HfgenError


class BlockWorker:
    """Turns blocks of rows into what came of them. Threads may share it.

    Args:
        plan: What to ask.
    """

    def __init__(self, plan: Plan) -> None:
        self._asker = Asker(plan)

    def start(self) -> None:
        """Return: the worker is there."""

    def ask(self, rows: list[Row]) -> Outcome:
        """Return what came of the rows of a block."""
        results: list[BulkResult[Row]] | HfgenError
        try:
            results = self._asker.ask(rows)
        except HfgenError as error:
            results = error
        return Outcome(self._asker.statistics, results)
