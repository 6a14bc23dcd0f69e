"""How events get from the engine's thread to the coroutine that answers.

The engine emits one event a token and job. Waking the loop costs a system call, so a `Mailbox`
wakes it once for all that has come in since it last looked: once a step of the batch, not once
a token. From there each event goes to the `Channel` of its request. Neither starts a task or a
timer for a token.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio

_Item = TypeVar("_Item")


class Channel(Generic[_Item]):
    """The events of one request, for one reader; all on the loop.

    Args:
        loop: The loop of the reader.
        keep_alive: Seconds after which a reader that waits gets None; None: it waits on.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, keep_alive: float | None = None) -> None:
        self._loop = loop
        self._items: deque[_Item | None] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._keep_alive = keep_alive
        self._taken_at = loop.time()
        # One timer for the whole stream. It is not put off for each event: when it fires it
        # looks at the time of the last one, and sleeps for what is then left.
        self._timer = None if keep_alive is None else loop.call_later(keep_alive, self._tick)

    def put(self, item: _Item | None) -> None:
        self._items.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> _Item | None:
        """Return the next event, or None when nothing came for as long as `keep_alive`."""
        while not self._items:
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        self._taken_at = self._loop.time()
        return self._items.popleft()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        assert self._keep_alive is not None
        left = self._taken_at + self._keep_alive - self._loop.time()
        # A reader that is not waiting is writing, and needs no reminder.
        if left <= 0:
            if self._reader is not None:
                self.put(None)
            left = self._keep_alive
        self._timer = self._loop.call_later(left, self._tick)


class Mailbox(Generic[_Item]):
    """Takes events on any thread and puts them into channels on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: deque[tuple[Channel[_Item], _Item]] = deque()
        self._woken = False

    def post(self, channel: Channel[_Item], item: _Item) -> None:
        """Take an event, on the engine's thread."""
        self._pending.append((channel, item))
        # No lock: the loop clears the flag before it looks, so an event that finds the flag set
        # is still ahead of the look. At worst the loop is woken once too often.
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed, and nobody reads any more
                self._pending.clear()

    def _deliver(self) -> None:
        self._woken = False
        while self._pending:
            channel, item = self._pending.popleft()
            channel.put(item)
