"""What a scripted server has been asked, and over which connections. Safe for threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hfgen.testing import _discovery as _speaks

if TYPE_CHECKING:
    from collections.abc import Callable

    from hfgen.testing._answer import ScriptedAnswer
    from hfgen.testing._connection import Line
    from hfgen.testing._discovery import Speaks
    from hfgen.testing._request import RecordedRequest
    from hfgen.testing._script import Script


class Ledger:
    """The record, and whoever waits for a change in it.

    Attributes:
        script: What is answered.
        requests: What has been asked so far, in order.
        connections: How many connections have been opened so far.
        answering: How many answers are under way.
        stopped: Whether the server is being closed, so that it is not the clients who hang up.
    """

    def __init__(self, script: Script, speaks: Speaks | None = None) -> None:
        self.script = script
        self._speaks = speaks
        self.requests: list[RecordedRequest] = []
        self.connections = 0
        self.answering = 0
        self.stopped = False
        self._lines: set[Line] = set()
        self._changed = threading.Condition()

    @property
    def lines(self) -> list[Line]:
        """The connections that are open now."""
        with self._changed:
            return list(self._lines)

    def open(self, line: Line) -> None:
        """Take in a connection."""
        with self._changed:
            self.connections += 1
            self._lines.add(line)
            self._changed.notify_all()

    def close(self, line: Line) -> None:
        """Let go of a connection that has ended."""
        with self._changed:
            self._lines.discard(line)
            self._changed.notify_all()

    def begin(self, request: RecordedRequest) -> ScriptedAnswer:
        """Record a request, unless it asks what the server speaks; return what to answer to it."""
        aside = _speaks.answer(self._speaks, request)
        with self._changed:
            number = len(self.requests)
            if aside is None:
                self.requests.append(request)
            self.answering += 1
            self._changed.notify_all()
        return aside or self.script.answer(request, number)

    def end(self) -> None:
        """Take note that an answer has come to its end."""
        with self._changed:
            self.answering -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Take note that the server is being closed."""
        self.stopped = True

    def wait(self, until: Callable[[], bool], timeout: float) -> bool:
        """Wait for a change after which this holds; return whether it does, in so many seconds."""
        with self._changed:
            return self._changed.wait_for(until, timeout)
