"""Standard error as a terminal: notices of retries; and streams whose reader has gone."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TextIO

from hfgen._core.errors import HfgenError, ModelLoadingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_CLEAR = "\r\x1b[2K"


def discard_output(stream: TextIO) -> None:
    """Let all that is written to the stream from now on go nowhere, and what it still holds.

    Otherwise the interpreter would complain at exit.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def ignore_closed_stderr() -> Iterator[None]:
    """Write to standard error inside of the context; go on if nobody reads it."""
    try:
        yield
    except OSError:
        if sys.stderr is not None:
            discard_output(sys.stderr)


class RetryNotice:
    """Shows each wait before a retry on standard error.

    On a terminal a line counts down the seconds; elsewhere one line is printed. A context manager:
    pass `show` as `on_retry`, and call `clear` when the answer begins.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._cleared = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, attempt: int, wait: float, error: HfgenError) -> None:
        """Show why the call waits, and for how long."""
        self.clear()
        if isinstance(error, ModelLoadingError):
            reason, seconds = "model is loading", error.estimated_time or wait
        else:
            reason, seconds = f"attempt {attempt} failed ({' '.join(error.message.split())})", wait
        if not self._is_terminal:
            print(f"hfgen: {reason}, about {seconds:.0f} s", file=sys.stderr, flush=True)
            return
        self._cleared = threading.Event()
        self._thread = threading.Thread(
            target=_count_down, args=(reason, seconds, self._cleared), daemon=True
        )
        self._thread.start()

    def clear(self) -> None:
        """Stop the countdown and clear its line."""
        self._cleared.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.clear()


def _count_down(reason: str, seconds: float, cleared: threading.Event) -> None:
    end = time.monotonic() + seconds
    while not cleared.is_set():
        left = max(0.0, end - time.monotonic())
        sys.stderr.write(f"{_CLEAR}{reason}, about {left:.0f} s")
        sys.stderr.flush()
        cleared.wait(1.0)
    sys.stderr.write(_CLEAR)
    sys.stderr.flush()
