"""Standard streams: their encodings, closed ones, and the notice of a retry on standard error."""

from __future__ import annotations

import codecs
import io
import math
import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TextIO

import msgspec

from hfgen._cli.units import format_duration
from hfgen._core.errors import HfgenError, ModelLoadingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

# Seconds. A shorter wait is not worth a number.
_NOTICEABLE = 0.1
_CLEAR = "\r\x1b[2K"


def escape_unencodable_output() -> None:
    """Escape what the encoding of standard output lacks, in place of raising an error."""
    # A test may have replaced the stream.
    with suppress(AttributeError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def write_json_line(document: Any) -> None:
    """Write a document to standard output, as JSON on one line."""
    line = msgspec.json.encode(document).decode()
    if not line.isascii() and codecs.lookup(sys.stdout.encoding or "utf-8").name != "utf-8":
        import json  # noqa: PLC0415 - rarely needed

        # JSON is UTF-8 everywhere (RFC 8259). In ASCII it is so in almost all encodings.
        line = json.dumps(document, separators=(",", ":"))
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def read_input() -> str:
    """Return standard input as text, in UTF-8 if a byte order mark says so, else in its encoding.

    Raises:
        UnicodeDecodeError: It is not text in this encoding.
    """
    data = sys.stdin.buffer.read()
    encoding = "utf-8-sig" if data.startswith(codecs.BOM_UTF8) else sys.stdin.encoding
    # It makes LF of all line ends.
    return io.TextIOWrapper(io.BytesIO(data), encoding).read()


def discard_output(stream: TextIO) -> None:
    """Connect the stream to the null device, also for the text that is still in its buffer.

    Otherwise the interpreter fails to flush the stream at exit, and prints an error.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def ignore_closed_stderr() -> Iterator[None]:
    """Ignore that standard error is closed while the block writes to it."""
    try:
        yield
    except OSError:
        if sys.stderr is not None:
            discard_output(sys.stderr)


class RetryNotice:
    """Shows each wait before a retry on standard error.

    On a terminal, a line counts the seconds down; elsewhere one line is printed. Pass `show` as
    `on_retry`, and call `clear` when the answer begins. The end of its context calls `clear`, too.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._cleared = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, attempt: int, wait: float, error: HfgenError) -> None:
        """Show why the call waits, and for how long."""
        self.clear()
        if isinstance(error, ModelLoadingError):
            reason, seconds = "model is loading, about", error.estimated_time or wait
        else:
            message = " ".join(error.message.split())
            reason, seconds = f"attempt {attempt} failed ({message}), again in", wait
        if not self._is_terminal:
            until = format_duration(seconds) if seconds >= _NOTICEABLE else "a moment"
            print(f"hfgen: {reason} {until}", file=sys.stderr, flush=True)
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
        seconds_left = max(1, math.ceil(end - time.monotonic()))
        sys.stderr.write(f"{_CLEAR}{reason} {seconds_left} s")
        sys.stderr.flush()
        cleared.wait(1.0)
    sys.stderr.write(_CLEAR)
    sys.stderr.flush()
