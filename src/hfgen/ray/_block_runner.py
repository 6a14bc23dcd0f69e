"""Runs the rows of many blocks through one client and one `generate_many`.

Each worker has one `BlockRunner`. Threads of the worker call `run`, each with the rows of a block,
and wait. An event loop on a thread of the runner's own takes the rows of all blocks, one block
after the other, into one `generate_many`, and sorts the results by block; a block whose results
are complete wakes its thread.

Ray Data has an event loop for async callables, too. It is of no use here: Ray Data stops that loop
while the output of a block waits to be taken (`ray/data/_internal/planner/plan_udf_map_op.py`,
`_reorder`), and open requests would run into their timeouts.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from hfgen._async.client import AsyncClient
from hfgen._bulk.results import BulkStatistics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from hfgen._bulk.results import BulkResult
    from hfgen._core.request import AnyRequest
    from hfgen.ray._plan import WorkerPlan


class _RunningBlock:
    """The rows of one call of `run`, and their results so far.

    Attributes:
        rows: The rows.
        results: The results of all rows, in the order of the rows.
    """

    def __init__(self, rows: Iterable[Any]) -> None:
        self.rows = rows
        self.results: Future[list[BulkResult[Any]]] = Future()
        self._by_position: dict[int, BulkResult[Any]] = {}
        # How many rows there are; None until the last one has been read.
        self._count: int | None = None

    def add_result(self, result: BulkResult[_BlockRow]) -> None:
        self._by_position[result.row.position] = replace(result, row=result.row.content)
        self._finish_if_complete()

    def set_count(self, count: int) -> None:
        self._count = count
        self._finish_if_complete()

    def _finish_if_complete(self) -> None:
        if len(self._by_position) == self._count:
            self.results.set_result([self._by_position[i] for i in range(self._count)])


class _BlockRow(NamedTuple):
    """A row of `generate_many`: its block, its place there, and the row itself."""

    block: _RunningBlock
    position: int
    content: Any


class BlockRunner:
    """Generates for the rows of any number of blocks at once.

    Args:
        plan: How each row becomes a request, where requests go, and how many at once.

    Attributes:
        statistics: The counts of `generate_many`.
    """

    def __init__(self, plan: WorkerPlan) -> None:
        self._plan = plan
        # Blocks of which no row has been read yet.
        self._waiting: deque[_RunningBlock] = deque()
        # Blocks whose results are not complete.
        self._unfinished: set[_RunningBlock] = set()
        self._failure: BaseException | None = None
        self.statistics = BulkStatistics()
        self._loop = asyncio.new_event_loop()
        self._block_added = asyncio.Event()
        if plan.ambient_key is not None:
            # The client reads this variable, and sends the key to Hugging Face's own hosts only.
            os.environ.setdefault("HF_TOKEN", plan.ambient_key)
        # Both of them: the URL says where the key may go.
        os.environ.update(plan.own_key)
        threading.Thread(target=self._run_loop, name="hfgen-block-runner", daemon=True).start()

    def run(self, rows: Iterable[Any]) -> list[BulkResult[Any]]:
        """Return the results of these rows, in the order of the rows. Any thread may call this.

        Args:
            rows: The rows of a block. The runner's thread iterates over them, as fast as requests
                can be sent.

        Raises:
            HfgenError: Requests fail for all rows alike, for example because of a wrong key.
        """
        block = _RunningBlock(rows)
        self._loop.call_soon_threadsafe(self._add_block, block)
        return block.results.result()

    def _add_block(self, block: _RunningBlock) -> None:
        if self._failure is not None:
            block.results.set_exception(self._failure)
            return
        self._unfinished.add(block)
        block.results.add_done_callback(lambda _: self._unfinished.discard(block))
        self._waiting.append(block)
        self._block_added.set()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._generate())
        except BaseException as error:  # noqa: BLE001 - `run` raises it in the threads that wait
            self._failure = error
            for block in list(self._unfinished):
                block.results.set_exception(error)
            # Later blocks get the failure from `_add_block`, which needs a running loop.
            self._loop.run_forever()

    async def _generate(self) -> None:
        plan = self._plan
        async with (
            AsyncClient(**plan.options) as client,
            client.generate_many(
                self._read_rows(),
                request=self._make_request,
                model=plan.model,
                concurrency=plan.concurrency,
                rate_limit=plan.rate_limit,
                api_urls=plan.api_urls,
                stream=plan.stream,
                patience=plan.patience,
            ) as results,
        ):
            self.statistics = results.statistics
            async for result in results:
                result.row.block.add_result(result)

    async def _read_rows(self) -> AsyncIterator[_BlockRow]:
        """Yield the rows of one block after the other, without an end."""
        while True:
            while not self._waiting:
                self._block_added.clear()
                await self._block_added.wait()
            block = self._waiting.popleft()
            count = 0
            for content in block.rows:
                yield _BlockRow(block, count, content)
                count += 1
            block.set_count(count)

    def _make_request(self, row: _BlockRow) -> AnyRequest:
        return self._plan.request(row.content)
