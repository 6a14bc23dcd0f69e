"""`Interrupt`: ends one call early, by the caller's signal or a deadline of its `Timeout`.

A call makes one. The driver says what it waits for (`expect_first`, `expect_next`, `expect_end`),
which sets `deadline`; a timer of each side calls `check`; an abort wakes what is blocked.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from hfgen._core.errors import HfgenError, TimeoutError  # noqa: A004
from hfgen._io.signal import AbortSignal

if TYPE_CHECKING:
    from hfgen._core.timeout import Timeout

# Seconds to wait for the end of a body after its last event.
_END_GRACE = 0.5

_Phase = Literal["first_token", "between_tokens", "total"]
_MESSAGES: dict[_Phase, str] = {
    "first_token": "no first token within {:g} s (timeout)",
    "between_tokens": "no further token within {:g} s (timeout)",
    "total": "not at its end within {:g} s (total timeout)",
}


@lru_cache(maxsize=16)
def _shortest(timeout: Timeout) -> float | None:
    limits = (timeout.first_token, timeout.between_tokens, timeout.total)
    return min((seconds for seconds in limits if seconds is not None), default=None)


class Interrupt(AbortSignal):
    """The signal of one call.

    It is aborted with the caller's signal, or when `check` finds that a deadline has passed. A
    deadline is only a number, because a timer for each token would be slow. One timer for the whole
    call calls `check`: `_sync.deadlines`, or one of the event loop.

    Attributes:
        deadline: The time by which the next token must arrive, on the monotonic clock in seconds;
            None while the call waits for nothing.
        is_done: Whether the call is over.
    """

    def __init__(self, timeout: Timeout, source: AbortSignal | None) -> None:
        super().__init__()
        self._timeout = timeout
        self._started = time.monotonic()
        self._phase: _Phase = "first_token"
        self._limit: float | None = None
        self.deadline: float | None = None
        self._end = None if timeout.total is None else self._started + timeout.total
        self.is_done = False
        self._unsubscribe = source.subscribe(lambda: self._abort(source.reason)) if source else None

    @property
    def phase(self) -> _Phase:
        """What the call waits for, or waited for last."""
        return self._phase

    def elapsed(self) -> float:
        """Return the seconds since the call began."""
        return time.monotonic() - self._started

    def now(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def expect_first(self) -> None:
        """Begin to wait for the first token, or the whole answer."""
        # Connecting comes first, and has its own limit.
        self._expect("first_token", self._timeout.first_token, self._timeout.connect or 0.0)

    def expect_next(self) -> None:
        """Begin to wait for one more token."""
        # Not by `_expect`, because this runs for each token.
        limit = self._timeout.between_tokens
        self._phase, self._limit = "between_tokens", limit
        self.deadline = None if limit is None else time.monotonic() + limit

    def expect_end(self) -> float:
        """Begin to wait for the end of a body that has given all; return the seconds for it.

        They are few: it is for the connection's sake, which serves again once it is read to its
        end, and servers may leave it open.
        """
        self._expect("between_tokens", _END_GRACE)
        return _END_GRACE

    def end(self) -> None:
        """End the call: no deadline is checked any more, and the caller's signal is left."""
        self.is_done = True
        if self._unsubscribe is not None:
            self._unsubscribe()

    def check(self) -> float | None:
        """Abort if a deadline has passed; return the seconds after which to check again."""
        if self.is_done or self.aborted:
            return None
        now = time.monotonic()
        if self._end is not None and now >= self._end:
            self._expire("total", self._timeout.total)
            return None
        deadline = self.deadline
        if deadline is not None and now >= deadline:
            self._expire(self._phase, self._limit)
            return None
        # A deadline set from now on, as by a token that comes, is at least so far away.
        times = [_shortest(self._timeout)]
        times.append(None if deadline is None else deadline - now)
        times.append(None if self._end is None else self._end - now)
        return min((seconds for seconds in times if seconds is not None), default=None)

    def error(self, text: str = "") -> HfgenError:
        """Return the error that the interruption stands for."""
        if isinstance(self.reason, TimeoutError):
            return TimeoutError(self.reason.message, phase=self.reason.phase, text=text)
        return super().error(text)

    def _expect(self, phase: _Phase, limit: float | None, extra: float = 0.0) -> None:
        self._phase, self._limit = phase, limit
        self.deadline = None if limit is None else time.monotonic() + limit + extra

    def _expire(self, phase: _Phase, seconds: float | None) -> None:
        self._abort(TimeoutError(_MESSAGES[phase].format(seconds), phase=phase))
