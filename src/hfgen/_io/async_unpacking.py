"""`Unpacked`: a compressed body of the async side, unpacked piece by piece.

A module of its own, because the sync side does not load asyncio.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from hfgen._io.unpacking import Unpacker


class Unpacked:
    """The unpacked body. Not a generator, because a loop closes a dropped generator in a new task.

    Args:
        packed: The body as it arrives.
        unpacker: Unpacks it.
    """

    def __init__(self, packed: AsyncIterator[bytes], unpacker: Unpacker) -> None:
        self._packed = packed
        self._unpacker = unpacker
        self._ready: Iterator[bytes] = iter(())

    def __aiter__(self) -> Unpacked:
        return self

    async def __anext__(self) -> bytes:
        while (piece := next(self._ready, None)) is None:
            packed = await anext(self._packed, None)
            if packed is None:
                self._unpacker.finish()
                raise StopAsyncIteration
            self._ready = self._unpacker.feed(packed)
        # Lets the loop check deadlines, as a short body may unpack to a very long one.
        await asyncio.sleep(0)
        return piece
