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
        # Held by who reads, and by who closes; nobody waits for it.
        self._busy = threading.Lock()
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            with self._busy:
                if self._closed:
                    raise ConnectError("the connection has been closed")
                return next(self._pieces)
        finally:
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close the connection, from any thread; a read wakes."""
        self._line.cut()
        self._closed = True
        # Else whoever reads sees that it is closed, and comes here when it has read.
        if self._busy.acquire(blocking=False):
            try:
                self._shut()
            finally:
                self._busy.release()
