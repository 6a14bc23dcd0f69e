"""The part of a worker that asks: one client and one `generate_many` for all of its blocks.

It has an event loop on a thread of its own. Ray Data has one for async callables, too, but stops
that loop altogether while the output of a block waits to be taken
(`ray/data/_internal/planner/plan_udf_map_op.py`, `_reorder`): open requests would run into their
time limits.
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
    from hfgen._core.request import RequestLike
    from hfgen.ray._plan import Plan


class _Block:
    """The rows of a call, and what has come of them so far."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self.rows = rows
        self.done: Future[list[BulkResult[Any]]] = Future()
        self._results: dict[int, BulkResult[Any]] = {}
        self._count: int | None = None

    def put(self, result: BulkResult[_Row]) -> None:
        self._results[result.row.position] = replace(result, row=result.row.content)
        self._finish()

    def ends_at(self, count: int) -> None:
        self._count = count
        self._finish()

    def _finish(self) -> None:
        if len(self._results) == self._count:
            self.done.set_result([self._results[position] for position in range(self._count)])


class _Row(NamedTuple):
    block: _Block
    position: int
    content: Any


class Asker:
    """Asks for the rows of any number of blocks at once, as one stream of rows.

    Args:
        plan: What to ask, where, and how much at once.

    Attributes:
        statistics: What has been.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._waiting: deque[_Block] = deque()
        self._open: set[_Block] = set()
        self._failure: BaseException | None = None
        self.statistics = BulkStatistics()
        self._loop = asyncio.new_event_loop()
        self._arrived = asyncio.Event()
        if plan.ambient_key is not None:
            # The client looks there, and sends it to Hugging Face's own hosts only.
            os.environ.setdefault("HF_TOKEN", plan.ambient_key)
        threading.Thread(target=self._run, name="hfgen-asker", daemon=True).start()

    def ask(self, rows: Iterable[Any]) -> list[BulkResult[Any]]:
        """Return what came of each of these rows, in their order. Any thread may call.

        Args:
            rows: The rows of a block; iterated on another thread, as requests can go.

        Raises:
            HfgenError: No server can be asked at all.
        """
        block = _Block(rows)
        self._loop.call_soon_threadsafe(self._take, block)
        return block.done.result()

    def _take(self, block: _Block) -> None:
        if self._failure is not None:
            block.done.set_exception(self._failure)
            return
        self._open.add(block)
        block.done.add_done_callback(lambda _: self._open.discard(block))
        self._waiting.append(block)
        self._arrived.set()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._answer())
        except BaseException as error:  # noqa: BLE001 - raised where the blocks are waited for
            self._failure = error
            for block in list(self._open):
                block.done.set_exception(error)
            # For the blocks to come: `_take` tells them.
            self._loop.run_forever()

    async def _answer(self) -> None:
        plan = self._plan
        async with (
            AsyncClient(**plan.options) as client,
            client.generate_many(
                self._rows(),
                request=self._request,
                model=plan.model,
                concurrency=plan.concurrency,
                rate_limit=plan.rate_limit,
                api_urls=plan.api_urls,
                stream=plan.stream,
            ) as results,
        ):
            self.statistics = results.statistics
            async for result in results:
                result.row.block.put(result)

    async def _rows(self) -> AsyncIterator[_Row]:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            block = self._waiting.popleft()
            count = 0
            for content in block.rows:
                yield _Row(block, count, content)
                count += 1
            block.ends_at(count)

    def _request(self, row: _Row) -> RequestLike:
        return self._plan.request(row.content)
