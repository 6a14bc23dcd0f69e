"""The script: which answer comes next, and what went against it. Safe for threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from hfgen.testing._answer import ScriptedAnswer
from hfgen.testing._ready_answers import status
from hfgen.testing._request import RecordedRequest

Scripted: TypeAlias = ScriptedAnswer | Callable[[RecordedRequest], ScriptedAnswer]
"""An answer, or a function that gives one, called with the request on the server's thread."""


class Script:
    """Gives the answers in their order.

    Args:
        answers: The answers.
        strict: Whether what is asked beyond the last of them is refused; otherwise the last one
            is given again and again.

    Raises:
        TypeError: An answer is none.
        ValueError: There are no answers, and it is not strict.
    """

    def __init__(self, answers: tuple[Scripted, ...], *, strict: bool) -> None:
        for answer in answers:
            if not isinstance(answer, ScriptedAnswer) and not callable(answer):
                raise TypeError(f"a script is made of answers, such as tokens(...), not {answer!r}")
        if not answers and not strict:
            raise ValueError("a script needs at least one answer, unless it is strict")
        self._answers = answers
        self._strict = strict
        self._failures: list[tuple[str, Exception | None]] = []

    def answer(self, request: RecordedRequest, number: int) -> ScriptedAnswer:
        """Return the answer to a request.

        Args:
            request: The request.
            number: Its number, counted from 0.
        """
        if number >= len(self._answers) and self._strict:
            what = f"{request!r} was asked for, and the script has {len(self._answers)} answers"
            return self._failed(what, None)
        scripted = self._answers[min(number, len(self._answers) - 1)]
        if isinstance(scripted, ScriptedAnswer):
            return scripted
        try:
            answer = scripted(request)
        except Exception as error:  # noqa: BLE001 - it is the test's to see, not this thread's
            return self._failed(f"no answer to {request!r}: {error!r}", error)
        if not isinstance(answer, ScriptedAnswer):
            return self._failed(f"no answer to {request!r}, but {answer!r}", None)
        return answer

    def check(self) -> None:
        """Do nothing if all went by the script.

        Raises:
            AssertionError: Something did not; it says what.
        """
        if self._failures:
            messages = "; ".join(message for message, _ in self._failures)
            causes = [error for _, error in self._failures if error is not None]
            raise AssertionError(messages) from (causes[0] if causes else None)

    def _failed(self, message: str, error: Exception | None) -> ScriptedAnswer:
        self._failures.append((message, error))
        return status(500, message)
