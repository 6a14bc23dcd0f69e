"""Stop signals: the first one asks the program to stop in order, the second one stops it at once.

The command line and the local server share this rule:

- A signal that is ignored stays ignored. A shell starts a job in the background with SIGINT
  ignored, and `nohup` starts a command with SIGHUP ignored.
- SIGHUP is never the second signal. A closed terminal sends it twice: through the shell, and from
  the system.
- The previous handlers are restored at the end of the context.
"""

from __future__ import annotations

import atexit
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

# 128 and the number of SIGINT, as a shell reports a command that Ctrl-C ended.
EXIT_INTERRUPTED = 130


@contextmanager
def handle_stop_signals(
    *names: str,
    stop: Callable[[], object],
    stop_at_once: Callable[[], object],
    ends_process: bool = False,
) -> Iterator[None]:
    """Call `stop` at the first of these signals inside of the context, `stop_at_once` at the next.

    Python runs signal handlers in the main thread, between any two of its steps: both functions
    must only pass the request on, raise, or end the process. In another thread, where Python allows
    no handlers, this does nothing.

    Args:
        names: Such as "SIGINT". A name that the platform does not have (SIGHUP on Windows) is
            skipped.
        stop: Called at the first signal.
        stop_at_once: Called at each later one, even while `stop` runs.
        ends_process: Whether the process ends after the first signal. Then the handlers stay while
            the interpreter waits for threads. After that the signals are ignored, because the
            interpreter sets handlers back to the default, which would end the process in its place.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    has_stopped = False

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal has_stopped
        if not has_stopped:
            has_stopped = True
            stop()
        elif number != getattr(signal, "SIGHUP", None):
            stop_at_once()

    previous = {}
    try:
        for name in names:
            number = getattr(signal, name, None)
            # None is a handler that was not set from Python, which could not be restored.
            if number and signal.getsignal(number) not in {signal.SIG_IGN, None}:
                previous[number] = signal.signal(number, handle)
        yield
    finally:
        for number, handler in previous.items():
            if has_stopped and ends_process:
                atexit.register(signal.signal, number, signal.SIG_IGN)
            else:
                signal.signal(number, handler)
