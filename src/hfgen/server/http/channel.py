"""Carries events from the engine's thread to the coroutine that answers a request.

The engine emits one event for each token of each job. Waking the event loop costs a system call,
so a `Mailbox` collects the events and wakes the loop once for all that are pending: about once
for each step of the batch. The loop then puts each event into the `Channel` of its request. No
task and no timer is started for a token.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio

_Item = TypeVar("_Item")


class Channel(Generic[_Item]):
    """The events of one request, for one reader. All methods are called on the loop.

    Args:
        loop: The loop of the reader.
        keep_alive: Seconds after which a waiting reader gets None; None: it waits without limit.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, keep_alive: float | None = None) -> None:
        self._loop = loop
        self._items: deque[_Item | None] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._keep_alive = keep_alive
        self._taken_at = loop.time()
        # One timer for the whole stream. It is not reset by each event: when it fires, it looks at
        # the time of the last event and sleeps for the rest of `keep_alive`.
        self._timer = None if keep_alive is None else loop.call_later(keep_alive, self._tick)

    def put(self, item: _Item | None) -> None:
        self._items.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> _Item | None:
        """Return the next event, or None when none has come for `keep_alive` seconds."""
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
        remaining = self._taken_at + self._keep_alive - self._loop.time()
        # A reader that is not waiting is writing to its client, so no keep-alive is needed.
        if remaining <= 0:
            if self._reader is not None:
                self.put(None)
            remaining = self._keep_alive
        self._timer = self._loop.call_later(remaining, self._tick)


class Mailbox(Generic[_Item]):
    """Takes events on any thread, and puts them into their channels on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: deque[tuple[Channel[_Item], _Item]] = deque()
        self._woken = False

    def post(self, channel: Channel[_Item], item: _Item) -> None:
        """Take an event for a channel. This is called on the engine's thread."""
        self._pending.append((channel, item))
        # No lock is needed: the loop clears the flag before it empties the queue, so an event that
        # finds the flag set is still delivered. At worst the loop is woken once too often.
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed, so there are no readers
                self._pending.clear()

    def _deliver(self) -> None:
        self._woken = False
        while self._pending:
            channel, item = self._pending.popleft()
            channel.put(item)
