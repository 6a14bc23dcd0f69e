"""`ClosableBody`: a body that one thread reads and another may close."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hfgen._core.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hfgen._sync.sockets import CuttableSocket


class ClosableBody:
    """The pieces of a body as they arrive; `close` may come from any thread.

    If a thread reads, `close` only cuts the socket, and the reading thread closes the response: the
    responses of libraries are not safe for threads. (A response of urllib3 that is closed while
    another thread reads can return a connection to the pool that has been cut.)

    Args:
        pieces: The body; it raises the errors of hfgen.
        cuttable: The socket that the body comes over.
        close_response: Closes the response of the library.
    """

    def __init__(
        self,
        pieces: Iterator[bytes],
        cuttable: CuttableSocket,
        close_response: Callable[[], object],
    ) -> None:
        self._pieces = pieces
        self._cuttable = cuttable
        self._close_response = close_response
        # Two flags, because a lock would cost time for each token. Each thread sets its own flag
        # before it reads the other's, so at least one of them sees both set.
        self._is_reading = False
        self._is_closed = False
        # Acquired by the thread that closes the response, and never released.
        self._once = threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        self._is_reading = True
        try:
            if self._is_closed:
                raise _closed_error()
            for piece in self._pieces:
                self._is_reading = False
                if self._is_closed:
                    self.close()
                yield piece
                self._is_reading = True
                if self._is_closed:
                    raise _closed_error()
        finally:
            self._is_reading = False
            if self._is_closed:
                self.close()

    def close(self) -> None:
        """Close the connection; a blocked read in another thread wakes."""
        self._cuttable.cut()
        self._is_closed = True
        # If a thread is reading, it sees the flag after its read and calls this method.
        if not self._is_reading and self._once.acquire(blocking=False):
            self._close_response()


def _closed_error() -> ConnectError:
    return ConnectError("the connection has been closed")
