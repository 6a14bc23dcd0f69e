"""What a scripted server was asked, and what became of the answer."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class RecordedRequest:
    """A request, as it came, and what its client did while it was answered.

    Attributes:
        method: The method, as in "POST".
        path: What was asked for: the path, with the query if there is one.
        headers: The headers; looked up in any case. Repeated ones are joined by ", ".
        body: The body, without its framing.
        connection: The connection that it came over, counted from 1.
        received_at: When it was there as a whole, on the clock `time.monotonic`, in seconds.
        answered: Set when the last step of the answer has been done, a `Cut` included.
        hung_up: Set when the client has hung up before that. It is noticed at once during a
            `Pause` or a `Hang`, and otherwise when sending fails.
        hung_up_at: When that was noticed, on the same clock; None if it was not.
        bytes_sent: How many bytes of the answer's body have been sent so far, without framing.
    """

    def __init__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, *, connection: int
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.connection = connection
        self.received_at = time.monotonic()
        self.answered = threading.Event()
        self.hung_up = threading.Event()
        self.hung_up_at: float | None = None
        self.bytes_sent = 0

    @property
    def json(self) -> Any:
        """The body, decoded from JSON.

        Raises:
            ValueError: It is no JSON.
        """
        return json.loads(self.body)

    def __repr__(self) -> str:
        # No headers, no query and no body: they may hold secrets.
        path = self.path.partition("?")[0]
        return f"<RecordedRequest {self.method} {path}, {len(self.body)} bytes>"


def note_hang_up(request: RecordedRequest) -> None:
    """Note that the client has hung up now."""
    request.hung_up_at = time.monotonic()
    request.hung_up.set()
