"""The body of an answer on the sync side, read in one thread and perhaps closed in another."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hfgen._errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hfgen._transports.lines import Line


class Reading:
    """The pieces as they arrive. Whoever reads closes: responses of libraries are not for threads.

    (One of urllib3 that is closed under its reader can give a connection back that is cut.)

    Args:
        pieces: The body; it raises the errors of hfgen.
        line: What the body comes over.
        shut: Closes the response.
    """

    def __init__(self, pieces: Iterator[bytes], line: Line, shut: Callable[[], object]) -> None:
        self._pieces = pieces
        self._line = line
        self._shut = shut
        # One that may be taken twice: a signal handler may close in the middle of these.
        self._lock = threading.RLock()
        self._reading = False
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._lock:
            if self._closed:
                raise ConnectError("the connection has been closed")
            self._reading = True
        try:
            return next(self._pieces)
        finally:
            with self._lock:
                self._reading = False
                closed = self._closed
            if closed:
                self._shut()

    def close(self) -> None:
        """Close the connection, from any thread; a read wakes."""
        with self._lock:
            self._line.cut()
            self._closed = True
            reading = self._reading
        if not reading:
            self._shut()
