"""Results as they come, in batches that are worth a write to the disk."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

T = TypeVar("T")


async def batches(
    items: AsyncIterable[T], *, size: int = 256, seconds: float = 0.25
) -> AsyncGenerator[list[T]]:
    """Give what comes, in batches; the items go on coming while a batch is dealt with.

    A batch is given out when it has `size` items, when its first one is `seconds` old, or when
    there are no more. Whoever takes long over one gets larger ones, up to twice the size; then the
    items have to wait.

    Args:
        items: What is to come in batches.
        size: How many items are worth a batch.
        seconds: How long an item waits for others.
    """
    pending: list[T] = []
    ready, taken = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def collect() -> None:
        timer: asyncio.TimerHandle | None = None
        try:
            async for item in items:
                pending.append(item)
                if len(pending) == 1:
                    if timer is not None:
                        timer.cancel()
                    timer = loop.call_later(seconds, ready.set)
                if len(pending) >= size:
                    ready.set()
                while len(pending) >= 2 * size:
                    taken.clear()
                    await taken.wait()
        finally:
            if timer is not None:
                timer.cancel()
            ready.set()

    collector = asyncio.create_task(collect())
    try:
        while not collector.done() or pending:
            await ready.wait()
            ready.clear()
            batch = pending.copy()
            pending.clear()
            taken.set()
            if batch:
                yield batch
        await collector
    finally:
        collector.cancel()
        # What it ends with has been raised above, or matters less than what is being raised.
        await asyncio.gather(collector, return_exceptions=True)
