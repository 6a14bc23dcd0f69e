"""Bodies that come compressed, on the async side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from hfgen._io.unpacking import Unpacker


class Unpacked:
    """The body unpacked. No generator: one that is left, the loop closes in a task of its own.

    Args:
        packed: The body as it comes.
        unpacker: What unpacks it.
    """

    def __init__(self, packed: AsyncIterator[bytes], unpacker: Unpacker) -> None:
        self._packed = packed
        self._unpacker = unpacker
        self._ready: Iterator[bytes] = iter(())

    def __aiter__(self) -> Unpacked:
        return self

    async def __anext__(self) -> bytes:
        while (piece := next(self._ready, None)) is None:
            self._ready = self._unpacker.feed(await anext(self._packed))
        # A little may unpack to much, and time limits are for the loop to see to.
        await asyncio.sleep(0)
        return piece
