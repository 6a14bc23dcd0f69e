"""Reads rows in a thread, because reading a pipe blocks, and the event loop must go on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

# How many rows are read ahead.
_AHEAD = 256


class ThreadedRows(Generic[T]):
    """An async iterator over an iterator that blocks. A thread takes the rows from that one.

    The thread reads a bounded number of rows ahead. It is a daemon, because nothing can wake it
    while it waits for a row, and the process must be able to end.

    Args:
        rows: The iterator that blocks.
    """

    def __init__(self, rows: Iterator[T]) -> None:
        self._rows = rows
        self._ready: deque[T] = deque()
        self._room = threading.Semaphore(_AHEAD)
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._error: Exception | None = None
        self._ended = False
        threading.Thread(target=self._read, name="hfgen-input", daemon=True).start()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._ready:
            if self._ended:
                raise self._error or StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        self._room.release()
        return self._ready.popleft()

    def _read(self) -> None:
        try:
            for row in self._rows:
                self._room.acquire()
                self._ready.append(row)
                self._notify()
        except Exception as error:  # noqa: BLE001 - `__anext__` raises it
            self._error = error
        self._ended = True
        self._notify()

    def _notify(self) -> None:
        # The loop may be closed already.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._changed.set)
