"""The results of a run on a Ray cluster, in the form that `BulkRun` takes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hfgen._cli import connection_arguments
from hfgen._cli.bulk.input_thread import ThreadedRows
from hfgen._core.errors import InvalidRequestError

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Callable, Iterator

    from hfgen._bulk.results import BulkResult, BulkStatistics
    from hfgen._cli.connection_arguments import ClientOptions
    from hfgen._files.row import Row
    from hfgen.ray._blocks import RayBulk

# The rows are divided into at least this many blocks for each worker, if there are enough rows.
_MIN_BLOCKS_PER_WORKER = 8


class RayResults:
    """The part of `AsyncBulk` that `BulkRun` uses. It must be iterated in an event loop.

    Args:
        bulk: The results, as an iterator that blocks.
    """

    def __init__(self, bulk: RayBulk) -> None:
        self._bulk = bulk

    @property
    def statistics(self) -> BulkStatistics:
        """Counts of the run, as far as the workers have reported."""
        return self._bulk.statistics

    def drain(self) -> None:
        """Begin no further blocks; the results of those under way still come."""
        self._bulk.drain()

    def __aiter__(self) -> AsyncIterator[BulkResult[Row]]:
        return ThreadedRows(iter(self._bulk))


@contextmanager
def ray_results(
    options: argparse.Namespace,
    client_options: ClientOptions,
    request: Callable[[Row], Any],
    rows: Iterator[Row],
    count: int,
) -> Iterator[RayResults]:
    """Give the results of the rows, whose requests the workers of a cluster send.

    Args:
        options: The arguments of the command.
        client_options: The options of each worker's client.
        request: Makes a row's request.
        rows: The rows.
        count: The number of rows.

    Raises:
        HfgenError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        from hfgen.ray._blocks import RayBulk, connect_to_ray  # noqa: PLC0415 - optional
        from hfgen.ray._generate import ROWS_PER_BLOCK, count_workers, make_plan  # noqa: PLC0415
    except ImportError as error:
        raise InvalidRequestError(str(error)) from None
    with connect_to_ray(options.ray_address, workers=options.workers):
        workers = count_workers(options.workers)
        plan = make_plan(
            request,
            model=connection_arguments.model_field(options).get("model"),
            api_url=options.api_url,
            workers=workers,
            concurrency=options.concurrency,
            rate_limit=options.rate_limit,
            stream=not options.no_stream,
            patience=options.patience,
            # The workers are other processes, which cannot call it.
            options={**client_options, "on_retry": None},
        )
        size = max(min(ROWS_PER_BLOCK, count // (workers * _MIN_BLOCKS_PER_WORKER)), 1)
        with RayBulk(rows, plan, workers=workers, rows_per_block=size) as bulk:
            yield RayResults(bulk)
