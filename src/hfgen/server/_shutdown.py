"""How a running server is told to stop: from its own loop, from another thread, by a signal."""

from __future__ import annotations

import asyncio


class Shutdown:
    """Made on the server's loop.

    Attributes:
        requested: Set once the server is to stop.
        hurry: Set once it is to stop without waiting for anything.
        grace: Seconds that running generations have from the first of the two on.
    """

    def __init__(self, *, grace: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.requested = asyncio.Event()
        self.hurry = asyncio.Event()
        self.grace = grace

    def request(self) -> None:
        """Stop with patience; the second time, at once."""
        if self.requested.is_set():
            self.hurry.set()
        self.requested.set()

    def request_within(self, grace: float) -> None:
        self.grace = grace
        self.requested.set()

    def request_threadsafe(self, grace: float | None = None) -> None:
        """Do one of these from a signal handler or another thread."""
        try:
            if grace is None:
                self.loop.call_soon_threadsafe(self.request)
            else:
                self.loop.call_soon_threadsafe(self.request_within, grace)
        except RuntimeError:  # it has stopped, and its loop is closed
            pass
