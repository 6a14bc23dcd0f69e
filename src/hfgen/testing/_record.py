"""What a scripted server answers, and what it was asked. Safe for threads.

The `Script` chooses the answer to each request. The `Record` keeps the requests, counts the
connections, and lets other threads wait until something changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from hfgen.testing._answers import ScriptedAnswer, status
from hfgen.testing._discovery import answer_discovery
from hfgen.testing._request import RecordedRequest

if TYPE_CHECKING:
    from hfgen.testing._discovery import Speaks

Scripted: TypeAlias = ScriptedAnswer | Callable[[RecordedRequest], ScriptedAnswer]
"""An answer, or a function that returns one; the server's thread calls it with the request."""


class Script:
    """The answers in their order, and what went against the script.

    Args:
        answers: The answers.
        strict: Whether requests after the last answer are refused. Otherwise they all get the last
            answer.

    Raises:
        TypeError: An answer is neither a `ScriptedAnswer` nor a function.
        ValueError: There are no answers, and the script is not strict.
    """

    def __init__(self, answers: tuple[Scripted, ...], *, strict: bool) -> None:
        for answer in answers:
            if not isinstance(answer, ScriptedAnswer) and not callable(answer):
                raise TypeError(f"a script is made of answers, such as tokens(...), not {answer!r}")
        if not answers and not strict:
            raise ValueError("a script needs at least one answer, unless it is strict")
        self._answers = answers
        self._strict = strict
        self._failures: list[tuple[str, BaseException | None]] = []

    def choose_answer(self, request: RecordedRequest, index: int) -> ScriptedAnswer:
        """Return the answer to a request.

        Args:
            request: The request.
            index: Its place among all requests, counted from 0.
        """
        count = len(self._answers)
        if index >= count and self._strict:
            return self._fail(f"{request!r} is one too many: the script has {count} answers")
        scripted = self._answers[min(index, count - 1)]
        if isinstance(scripted, ScriptedAnswer):
            return scripted
        try:
            answer = scripted(request)
        except BaseException as error:  # noqa: BLE001 - as `pytest.fail`; for `check` to report
            return self._fail(f"no answer to {request!r}: the script raised {error!r}", error)
        if not isinstance(answer, ScriptedAnswer):
            return self._fail(f"no answer to {request!r}: the script returned {answer!r}")
        return answer

    def check(self) -> None:
        """Do nothing if all requests were answered as the script says.

        Raises:
            AssertionError: A strict script got too many requests, or a function of it failed.
        """
        if self._failures:
            messages = "; ".join(message for message, _ in self._failures)
            causes = [error for _, error in self._failures if error is not None]
            raise AssertionError(messages) from (causes[0] if causes else None)

    def _fail(self, message: str, error: BaseException | None = None) -> ScriptedAnswer:
        """Keep a failure for `check`; return what the client is answered instead."""
        self._failures.append((message, error))
        return status(500, message)


class Record:
    """The requests of a server, and what is going on. Its methods may be called by any thread.

    Args:
        script: Chooses the answers.
        speaks: What the server says that it speaks; None to leave that to the script.

    Attributes:
        script: Chooses the answers.
        requests: The requests so far, in order, without those that `speaks` answers.
        connections: How many connections were accepted so far.
        open_connections: How many of them are open now.
        answering: How many answers are being sent now.
        stopped: Whether the server is being closed. It then breaks answers off itself, which must
            not be taken for clients that hang up.
    """

    def __init__(self, script: Script, speaks: Speaks | None = None) -> None:
        self.script = script
        self._speaks = speaks
        self.requests: list[RecordedRequest] = []
        self.connections = 0
        self.open_connections = 0
        self.answering = 0
        self.stopped = False
        self._changed = threading.Condition()

    def add_connection(self) -> None:
        """Count a connection that was accepted."""
        with self._changed:
            self.connections += 1
            self.open_connections += 1
            self._changed.notify_all()

    def remove_connection(self) -> None:
        """Count a connection as closed."""
        with self._changed:
            self.open_connections -= 1
            self._changed.notify_all()

    def begin_answer(self, request: RecordedRequest) -> ScriptedAnswer:
        """Record a request, unless it asks what the server speaks; return the answer to it."""
        answer = answer_discovery(self._speaks, request)
        with self._changed:
            index = len(self.requests)
            if answer is None:
                self.requests.append(request)
            self.answering += 1
            self._changed.notify_all()
        return answer or self.script.choose_answer(request, index)

    def end_answer(self) -> None:
        """Count an answer as ended: sent, cut, or left by its client."""
        with self._changed:
            self.answering -= 1
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until the condition holds, `timeout` seconds at most; return whether it does."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)
