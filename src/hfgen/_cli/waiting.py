"""What the command shows while it waits to try again."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Self

from hfgen._core.errors import HfgenError, ModelLoadingError

if TYPE_CHECKING:
    from types import TracebackType

_CLEAR = "\r\x1b[2K"


class Waiting:
    """Tells of each wait on standard error: a line that counts down on a terminal, else one line.

    A context; `told` is to be passed as `on_retry`, and `over` called when there is an answer.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def told(self, attempt: int, wait: float, error: HfgenError) -> None:
        """Show why, and for how long, nothing comes."""
        self.over()
        if isinstance(error, ModelLoadingError):
            what, seconds = "model is loading", error.estimated_time or wait
        else:
            what, seconds = f"attempt {attempt} failed ({' '.join(error.message.split())})", wait
        if not self._is_terminal:
            print(f"hfgen: {what}, about {seconds:.0f} s", file=sys.stderr, flush=True)
            return
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=_count_down, args=(what, seconds, self._over), daemon=True
        )
        self._thread.start()

    def over(self) -> None:
        """Clear the line."""
        self._over.set()
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
        self.over()


def _count_down(what: str, seconds: float, over: threading.Event) -> None:
    end = time.monotonic() + seconds
    while not over.is_set():
        left = max(0.0, end - time.monotonic())
        sys.stderr.write(f"{_CLEAR}{what}, about {left:.0f} s")
        sys.stderr.flush()
        over.wait(1.0)
    sys.stderr.write(_CLEAR)
    sys.stderr.flush()
