"""The results of a run on a Ray cluster, in place of those of `generate_many`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hfgen._cli import connection_arguments as where
from hfgen._cli.bulk.input_thread import ThreadedRows
from hfgen._core.errors import InvalidRequestError

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Callable, Iterator

    from hfgen._bulk.results import BulkResult, BulkStatistics
    from hfgen._cli.connection_arguments import ClientOptions
    from hfgen._files.row import Row
    from hfgen.ray._blocks import RayBulk

# So many blocks a worker there are at least, if there are rows enough.
_BLOCKS_OF_A_WORKER = 8


class RayResults:
    """What `BulkRun` needs of an `AsyncBulk`. To be made in an event loop.

    Args:
        bulk: Gives the results.
    """

    def __init__(self, bulk: RayBulk) -> None:
        self._bulk = bulk

    @property
    def statistics(self) -> BulkStatistics:
        """What has been, as far as is known here."""
        return self._bulk.statistics

    def drain(self) -> None:
        """Begin no further blocks; those under way end, and are handed out."""
        self._bulk.drain()

    def __aiter__(self) -> AsyncIterator[BulkResult[Row]]:
        return ThreadedRows(iter(self._bulk))


@contextmanager
def ray_results(
    options: argparse.Namespace,
    reached: ClientOptions,
    request: Callable[[Row], Any],
    rows: Iterator[Row],
    count: int,
) -> Iterator[RayResults]:
    """Give the results of the rows, which the workers of a cluster ask for.

    Args:
        options: The command's.
        reached: The options of each worker's client.
        request: Makes a row's request.
        rows: The rows.
        count: How many there are.

    Raises:
        HfgenError: There is no Ray, or no connection.
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
            model=where.model(options).get("model"),
            api_url=options.api_url,
            workers=workers,
            concurrency=options.concurrency,
            rate_limit=options.rate_limit,
            stream=not options.no_stream,
            # What would be told of an attempt is told by other processes.
            options={**reached, "on_retry": None},
        )
        size = max(min(ROWS_PER_BLOCK, count // (workers * _BLOCKS_OF_A_WORKER)), 1)
        with RayBulk(rows, plan, workers=workers, rows_per_block=size) as bulk:
            yield RayResults(bulk)
