"""Deadlines of the sync side: one thread checks those of all calls."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hfgen._io.interrupt import Interrupt

# Seconds after which the thread ends if there is nothing to check. Starting one is not cheap.
_LINGER = 1.0


class _Watchdog:
    """One thread that checks interrupts. Each check returns the time of the next one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[Interrupt, float] = {}
        self._next = float("inf")
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def watch(self, interrupt: Interrupt) -> None:
        """Check an interrupt until its call ends or is aborted; nothing if it has no deadline."""
        if (seconds := interrupt.check()) is None:
            return
        if self._process != os.getpid():
            # After a fork: the thread exists in the parent only.
            self.__init__()  # type: ignore[misc]
        due = time.monotonic() + seconds
        with self._changed:
            self._due[interrupt] = due
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="hfgen-watchdog", daemon=True
                )
                self._thread.start()
            elif due < self._next:
                self._changed.notify()

    def forget(self, interrupt: Interrupt) -> None:
        """Stop checking an interrupt."""
        with self._changed:
            self._due.pop(interrupt, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._next = min(self._due.values(), default=float("inf"))
                wait = self._next - time.monotonic()
                if wait > 0:
                    is_idle = not self._due
                    self._changed.wait(_LINGER if is_idle else min(wait, threading.TIMEOUT_MAX))
                    if is_idle and not self._due:
                        self._thread = None
                        return
                now = time.monotonic()
                due = [interrupt for interrupt, at in self._due.items() if at <= now]
            for interrupt in due:
                # Outside the lock, because an abort calls listeners.
                seconds = interrupt.check()
                with self._changed:
                    if seconds is None:
                        self._due.pop(interrupt, None)
                    elif interrupt in self._due:
                        self._due[interrupt] = time.monotonic() + seconds


_watchdog = _Watchdog()
watch = _watchdog.watch


def unwatch(interrupt: Interrupt) -> None:
    """End an interrupt and stop checking its deadlines."""
    interrupt.end()
    _watchdog.forget(interrupt)
