"""The worker: an actor of Ray, which is a process on some node of the cluster.

`generate` has Ray Data start `TableWorker`s, which turn Arrow tables into Arrow tables.
`hfgen bulk --engine ray` starts `BlockWorker`s, which return results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from hfgen._bulk.results import error_fields
from hfgen._core.errors import HfgenError
from hfgen.ray._block_runner import BlockRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hfgen._bulk.results import BulkResult, BulkStatistics
    from hfgen._files.row import Row
    from hfgen.ray._plan import WorkerPlan

# How many rows of a table are turned into Python objects at a time.
_ROWS_PER_SLICE = 256
# The types are fixed, so that they are the same in each block, also where a column is all null.
_ERROR = pa.struct(
    [
        ("type", pa.string()),
        ("message", pa.string()),
        ("status", pa.int64()),
        ("attempts", pa.int64()),
    ]
)


class TableWorker:
    """Turns a block of a dataset, a table, into the table with its results. Threads may share it.

    Args:
        plan: How each row becomes a request, where requests go, and how many at once.
    """

    def __init__(self, plan: WorkerPlan) -> None:
        self._runner = BlockRunner(plan)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the table with its results, in the order of the input.

        The whole table comes at once, and not in parts as a generator could give it. If a worker is
        lost in the middle of a block, Ray has another worker do the whole block, and skips as many
        parts as the first one had given. These parts would have to hold the same rows both times;
        but rows are done in no fixed order, so some would be lost, and others come twice.

        Raises:
            HfgenError: Requests fail for all rows alike, for example because of a wrong key.
        """
        return _append_results(table, self._runner.run(_iterate_rows(table)))


class Outcome(NamedTuple):
    """What a `BlockWorker` returns for a block.

    Attributes:
        statistics: The counts of the worker, over all of its blocks.
        results: The results of the rows; or the error, if requests fail for all rows alike. The
            error is returned and not raised, because Ray wraps what an actor raises.
    """

    statistics: BulkStatistics
    results: list[BulkResult[Row]] | HfgenError


class BlockWorker:
    """Turns a block of rows into their results. Threads may share it.

    Args:
        plan: How each row becomes a request, where requests go, and how many at once.
    """

    def __init__(self, plan: WorkerPlan) -> None:
        self._runner = BlockRunner(plan)

    def start(self) -> None:
        """Do nothing. When this call returns, Ray has started the worker."""

    def run(self, rows: list[Row]) -> Outcome:
        """Return the results of the rows of a block."""
        results: list[BulkResult[Row]] | HfgenError
        try:
            results = self._runner.run(rows)
        except HfgenError as error:
            results = error
        return Outcome(self._runner.statistics, results)


def _iterate_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for start in range(0, table.num_rows, _ROWS_PER_SLICE):
        yield from table.slice(start, _ROWS_PER_SLICE).to_pylist()


def _append_results(table: pa.Table, results: list[BulkResult[Any]]) -> pa.Table:
    """Return the table with the columns of the results, which replace columns of the same names."""
    columns = {
        "generated_text": pa.array([r.generated_text for r in results], pa.string()),
        "finish_reason": pa.array([r.finish_reason for r in results], pa.string()),
        "generated_tokens": pa.array([r.generated_tokens for r in results], pa.int64()),
        "error": pa.array([error_fields(r) for r in results], _ERROR),
    }
    table = table.drop_columns([name for name in columns if name in table.column_names])
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table
