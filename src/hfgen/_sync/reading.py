"""The body of an answer on the sync side, read in one thread and perhaps closed in another."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hfgen._core.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hfgen._sync.sockets import Line


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
        # Flags and no lock, which for every token would cost more than all else here. Each side
        # first says what it does and then looks at the other: never do both miss that.
        self._reads = False
        self._closed = False
        # Taken by who shuts it, and never given back.
        self._once = threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        self._reads = True
        try:
            if self._closed:
                raise _gone()
            for piece in self._pieces:
                self._reads = False
                if self._closed:
                    self.close()
                yield piece
                self._reads = True
                if self._closed:
                    raise _gone()
        finally:
            self._reads = False
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close the connection, from any thread; a read wakes."""
        self._line.cut()
        self._closed = True
        # Else whoever reads sees that it is closed, and comes here when it has read.
        if not self._reads and self._once.acquire(blocking=False):
            self._shut()


def _gone() -> ConnectError:
    return ConnectError("the connection has been closed")
