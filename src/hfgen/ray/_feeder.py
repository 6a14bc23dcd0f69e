"""Blocks of rows on their way from the driver to the workers: an actor that holds a few.

The input is read by the driver alone, wherever that is. A worker asks for a block by its number, as
often as it must: a block stays until what came of it is with the driver.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hfgen._bulk_files.row import Row


class Feeder:
    """Holds the blocks that wait to be taken, and those that may be asked for again.

    Args:
        ahead: How many blocks may wait to be taken; 2 or more.
    """

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead
        self._blocks: dict[int, list[Row]] = {}
        self._taken = -1
        self._ended = False
        self._stopped = False
        self._changed = asyncio.Condition()

    async def put(self, number: int, block: list[Row]) -> None:
        """Take in a block, one after the other. Returns when there is room for the next one."""
        async with self._changed:
            self._blocks[number] = block
            self._changed.notify_all()
            await self._changed.wait_for(lambda: number < self._taken + self._ahead)

    async def take(self, number: int) -> list[Row]:
        """Return the block, when it is there; no rows if it will not come."""
        async with self._changed:
            if self._stopped and number > self._taken:
                return []
            self._taken = max(self._taken, number)
            self._changed.notify_all()
            await self._changed.wait_for(lambda: number in self._blocks or self._ended)
            return self._blocks.get(number, [])

    async def drop(self, number: int) -> None:
        """Forget a block: what came of it is with the driver."""
        self._blocks.pop(number, None)

    async def end(self) -> None:
        """Take in that there are no further blocks."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def stop(self) -> None:
        """Give out no block that nobody has taken yet."""
        self._stopped = True
        await self.end()

    async def under_way(self) -> set[int]:
        """Return the numbers of the blocks that have been taken, and not dropped."""
        return {number for number in self._blocks if number <= self._taken}
