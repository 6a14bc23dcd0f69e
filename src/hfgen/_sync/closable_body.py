"""`ClosableBody`: a body that one thread reads and another may close."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hfgen._core.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hfgen._sync.sockets import CuttableSocket


class ClosableBody:
    """The pieces as they arrive. While a thread reads, that thread closes the response.

    Responses of libraries are not for several threads: one of urllib3 that is closed under its
    reader can give a connection back to the pool that has been cut.

    Args:
        pieces: The body; it raises the errors of hfgen.
        line: What the body comes over.
        shut: Closes the response.
    """

    def __init__(
        self, pieces: Iterator[bytes], line: CuttableSocket, shut: Callable[[], object]
    ) -> None:
        self._pieces = pieces
        self._line = line
        self._shut = shut
        # Flags and no lock, which would cost more for every token than all else here. Each side
        # first sets its own flag and then reads the other's, so that one of them sees both.
        self._reads = False
        self._closed = False
        # Taken by the thread that closes the response, and never given back.
        self._once = threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        self._reads = True
        try:
            if self._closed:
                raise _closed_error()
            for piece in self._pieces:
                self._reads = False
                if self._closed:
                    self.close()
                yield piece
                self._reads = True
                if self._closed:
                    raise _closed_error()
        finally:
            self._reads = False
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close the connection, from any thread; a read wakes."""
        self._line.cut()
        self._closed = True
        # Else the reading thread sees the flag, and calls this method when its read is over.
        if not self._reads and self._once.acquire(blocking=False):
            self._shut()


def _closed_error() -> ConnectError:
    return ConnectError("the connection has been closed")
