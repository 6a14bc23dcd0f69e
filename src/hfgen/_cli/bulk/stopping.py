"""Signals that end a run: the first one in order, the second one at once."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

# 128 and the number of SIGINT, as a shell reports a command that Ctrl-C ended.
STOPPED = 130
_HANGUP = getattr(signal, "SIGHUP", None)
_SIGNALS = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, _HANGUP)))


@contextmanager
def stopping(first: Callable[[], object], last: Callable[[], object]) -> Iterator[None]:
    """Heed SIGINT, SIGTERM and SIGHUP inside of the context; the second one ends the process.

    What was ignored stays so (`nohup`).

    Args:
        first: Called at the first signal, between any two steps of the main thread: it must do no
            more than pass it on.
        last: Called at the second one, before the end.
    """
    seen = 0

    def told(number: int, _: FrameType | None) -> None:
        nonlocal seen
        if number == _HANGUP and seen:
            # A terminal that goes says so more than once: through the shell, and by itself.
            return
        seen += 1
        try:
            first() if seen == 1 else last()
        finally:
            # In whatever state the rest is, it has no say.
            if seen > 1:
                os._exit(STOPPED)

    before = {
        number: signal.signal(number, told)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
