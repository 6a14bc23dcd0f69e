"""Asks a running server to stop: from its event loop, another thread, or a signal handler."""

from __future__ import annotations

import asyncio


class Shutdown:
    """A request to stop a server. It must be created on the server's event loop.

    Attributes:
        requested: Set when the server should stop.
        hurry: Set when it should stop without waiting for running generations.
        grace: Seconds that running generations have to end after `requested` is set.
    """

    def __init__(self, *, grace: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.requested = asyncio.Event()
        self.hurry = asyncio.Event()
        self.grace = grace

    def request(self) -> None:
        """Ask the server to stop after its grace time; the second call cuts that time short."""
        if self.requested.is_set():
            self.hurry.set()
        self.requested.set()

    def request_within(self, grace: float) -> None:
        self.grace = grace
        self.requested.set()

    def request_threadsafe(self, grace: float | None = None) -> None:
        """Ask the server to stop, from a signal handler or another thread.

        Args:
            grace: Seconds that running generations have to end; None: as `request` does.
        """
        try:
            if grace is None:
                self.loop.call_soon_threadsafe(self.request)
            else:
                self.loop.call_soon_threadsafe(self.request_within, grace)
        except RuntimeError:  # the server has stopped, and its loop is closed
            pass
