"""`TargetCache`: the targets that a client has found, with one question for all calls.

1. The first call that needs a target asks for it.
2. Calls with the same key and the same options wait for that answer. Calls with other options ask
   for themselves, because an error may be about a key or a time limit.
3. An answer goes into `found`, for all later calls. An error is raised in each call that waited.
   But if the first call was aborted or its total time was over, the next call asks.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias

from hfgen._core.errors import AbortError, HfgenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable
    from concurrent.futures import Future

    from hfgen._core.target import Target

    _Targets: TypeAlias = tuple[Target, ...]
    # Holds the error of the call that asked, None if it got an answer.
    Question: TypeAlias = Future[BaseException | None]


class TargetCache:
    """The targets that calls have asked for. Safe for threads, and for several event loops.

    Attributes:
        found: The targets for each key.
    """

    def __init__(self) -> None:
        self.found: dict[Hashable, _Targets] = {}
        self._questions: dict[Hashable, tuple[Question, object]] = {}
        self._lock = threading.Lock()

    def get_or_ask(
        self,
        key: Hashable,
        caller: Hashable,
        ask: Callable[[], _Targets],
        wait: Callable[[Question], None],
    ) -> _Targets:
        """Return the targets for a key; ask for them if they are not known.

        Args:
            key: Everything that the targets depend on.
            caller: Options of the caller. Only callers with equal options share a failure.
            ask: Returns the targets, after asking a server.
            wait: Waits until the question of another call has been answered.
        """
        question_key = key, caller
        while (found := self.found.get(key)) is None:
            question, is_first = self._begin(question_key, threading.current_thread())
            if not is_first:
                wait(question)
                _raise_shared(question)
                continue
            try:
                self.found[key] = ask()
            except BaseException as error:
                self._end(question_key, question, error)
                raise
            self._end(question_key, question)
        return found

    async def aget_or_ask(
        self,
        key: Hashable,
        caller: Hashable,
        ask: Callable[[], Awaitable[_Targets]],
        wait: Callable[[Question], Awaitable[None]],
        task: object,
    ) -> _Targets:
        """Return the targets as `get_or_ask` does, for the task that needs them."""
        question_key = key, caller
        while (found := self.found.get(key)) is None:
            question, is_first = self._begin(question_key, task)
            if not is_first:
                await wait(question)
                _raise_shared(question)
                continue
            try:
                self.found[key] = await ask()
            except BaseException as error:
                self._end(question_key, question, error)
                raise
            self._end(question_key, question)
        return found

    def _begin(self, question_key: Hashable, asker: object) -> tuple[Question, bool]:
        from concurrent.futures import Future  # noqa: PLC0415 - most clients ask nothing

        with self._lock:
            question, first = self._questions.get(question_key, (None, None))
            if question is not None and first is not asker:
                return question, False
            # Re-entrant: `on_retry` may make a call of its own, which must not wait for this one.
            own: Question = Future()
            if question is None:
                self._questions[question_key] = own, asker
            return own, True

    def _end(
        self, question_key: Hashable, question: Question, error: BaseException | None = None
    ) -> None:
        with self._lock:
            if self._questions[question_key][0] is question:
                del self._questions[question_key]
        question.set_result(error)


def _raise_shared(question: Question) -> None:
    error = question.result()
    if isinstance(error, AbortError) or getattr(error, "phase", None) == "total":
        return
    if isinstance(error, HfgenError):
        import copy  # noqa: PLC0415 - rarely needed

        # A copy, because an exception collects the frames of each call that raises it.
        raise copy.copy(error) from error.__cause__
