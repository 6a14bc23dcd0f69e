"""Compressed bodies of the async side: unpacked in pieces, with the loop in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from hfgen._io.unpacking import Unpacker


class Unpacked:
    """The unpacked body. No generator, because the loop closes a dropped one in a task of its own.

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
        # A short body may unpack to a long one, and deadlines are checked by the loop.
        await asyncio.sleep(0)
        return piece
