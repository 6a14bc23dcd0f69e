"""The results of the async side, as they are handed out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from hfgen._async.bulk import AsyncEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
    from types import TracebackType

    from hfgen._async.client import AsyncClient
    from hfgen._bulk.plan import BulkPlan
    from hfgen._bulk.results import BulkResult, BulkStatistics
    from hfgen._core.request import RequestLike

Row = TypeVar("Row")


class AsyncBulk(Generic[Row]):
    """The results of `AsyncClient.generate_many`: an async iterator and async context manager.

    An `async for` loop over it closes it when it ends, however it ends: what is under way is
    cancelled. To take some results and go on later, use `anext`. What is asked of it after it was
    left early raises `StreamClosedError`.
    """

    def __init__(
        self,
        client: AsyncClient,
        rows: Iterable[Row] | AsyncIterable[Row],
        request: Callable[[Row], RequestLike] | None,
        plan: BulkPlan,
    ) -> None:
        # What is under way holds no reference to this object, so that dropping it ends all of it.
        self._engine = AsyncEngine(client, rows, request, plan)

    @property
    def statistics(self) -> BulkStatistics:
        """What has been; it changes while requests are under way."""
        return self._engine.dispatcher.statistics

    def drain(self) -> None:
        """Take no more rows: what is under way ends and is handed out, and then the iteration ends.

        Rows that have been taken and are not under way, or would have to be tried again, get no
        result.
        """
        self._engine.drain()

    async def aclose(self) -> None:
        """Cancel what is under way, and close its connections. Repeating it is fine."""
        await self._engine.aclose()

    def __aiter__(self) -> AsyncIterator[BulkResult[Row]]:
        return _Loop(self)

    async def __anext__(self) -> BulkResult[Row]:
        return await self._engine.next()

    async def __aenter__(self) -> AsyncBulk[Row]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._engine.leave_from_anywhere()


class _Loop(Generic[Row]):
    """What one `async for` loop iterates: when the loop drops it, the whole is left."""

    __slots__ = ("_bulk",)

    def __init__(self, bulk: AsyncBulk[Row]) -> None:
        self._bulk = bulk

    def __aiter__(self) -> AsyncIterator[BulkResult[Row]]:
        return self

    def __anext__(self) -> Awaitable[BulkResult[Row]]:
        return self._bulk.__anext__()

    def __del__(self) -> None:
        self._bulk._engine.leave_from_anywhere()
