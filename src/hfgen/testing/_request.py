"""A request that a scripted server got, and what became of its answer."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class RecordedRequest:
    """A request as it was received, and what its client did while it was answered.

    Attributes:
        method: The method, as in "POST".
        path: The path that was requested, with the query if there is one.
        headers: The headers. Lookups ignore case; the values of a repeated header are joined by
            ", ".
        body: The body, without its framing.
        connection: The number of the connection that the request came over, counted from 1.
        received_at: When the whole request had been received, in seconds of `time.monotonic`.
        answered: Set when the last step of the answer has been done, a `Cut` included.
        hung_up: Set when the client has hung up before that. The server notices this at once
            during a `Pause` or a `Hang`, and otherwise when sending fails.
        hung_up_at: When the server noticed that, in seconds of `time.monotonic`; None if the
            client has not hung up.
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
            ValueError: The body is not JSON.
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
