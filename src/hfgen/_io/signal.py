"""`AbortController` and `AbortSignal`: end a call from any thread, as on the web."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from hfgen._core.errors import AbortError, HfgenError

if TYPE_CHECKING:
    from collections.abc import Callable


log = logging.getLogger("hfgen")


class AbortSignal:
    """Tells a call that it is no longer wanted.

    Comes from an `AbortController`. (A limit of time is `Timeout(total=...)`.) One signal may serve
    any number of calls, in any thread; once aborted it stays so.

    Attributes:
        aborted: Whether the signal has been aborted. To be read only.
    """

    def __init__(self) -> None:
        # Re-entrant: a signal handler may abort in the middle of any of these methods. (The lock of
        # a `threading.Event` is not.)
        self._lock = threading.RLock()
        # Made by the first `wait`, which few signals see: each call has a signal of its own.
        self._changed: threading.Condition | None = None
        # No property, because it is read for every token.
        self.aborted = False
        self._listeners: dict[object, Callable[[], object]] = {}
        self._reason: object = None

    @property
    def reason(self) -> object:
        """What was passed to `abort`, None if nothing or not aborted."""
        return self._reason

    def wait(self, seconds: float | None = None) -> bool:
        """Block until aborted, at most so many seconds; return whether it is."""
        with self._lock:
            if self._changed is None:
                self._changed = threading.Condition(self._lock)
            return self._changed.wait_for(lambda: self.aborted, seconds)

    def throw_if_aborted(self) -> None:
        """Raise `AbortError` if the signal has been aborted."""
        if self.aborted:
            raise self.error()

    def error(self, text: str = "") -> HfgenError:
        """Return the error that this signal's abort stands for."""
        why = "the call was aborted" if self._reason is None else f"aborted: {self._reason}"
        return AbortError(why, reason=self._reason, text=text)

    def subscribe(self, listener: Callable[[], object]) -> Callable[[], object]:
        """Call `listener` once, in the aborting thread; at once if already aborted.

        What it raises there is logged and goes no further.

        Returns:
            A callable that takes the listener off again. An abort that is under way in another
            thread may call it still.
        """
        key = object()
        with self._lock:
            self._listeners[key] = listener

        def unsubscribe() -> Callable[[], object] | None:
            with self._lock:
                return self._listeners.pop(key, None)

        # Only now, and only if it is still there: an abort may have come in between.
        if self.aborted and unsubscribe() is not None:
            _tell(listener)

        return unsubscribe

    def _abort(self, reason: object) -> None:
        with self._lock:
            if self.aborted:
                return
            self._reason = reason
            self.aborted = True
            listeners, self._listeners = self._listeners, {}
            if self._changed is not None:
                self._changed.notify_all()
        for listener in listeners.values():
            _tell(listener)

    def __repr__(self) -> str:
        return f"<AbortSignal {'aborted' if self.aborted else 'not aborted'}>"


def _tell(listener: Callable[[], object]) -> None:
    try:
        listener()
    except Exception:
        log.exception("a listener of an AbortSignal failed")


class AbortController:
    """Holds the `signal` to pass to a call, and aborts it.

    Attributes:
        signal: The `AbortSignal` that `abort` aborts.
    """

    def __init__(self) -> None:
        self.signal = AbortSignal()

    def abort(self, reason: object = None) -> None:
        """Abort every call that was given the signal.

        Callable from any thread, any number of times; only the first counts. A blocked read
        wakes at once, its connection is closed, and the call raises `AbortError`.

        Args:
            reason: Kept as `AbortError.reason`, and shown in its message.
        """
        self.signal._abort(reason)  # noqa: SLF001 - the two are one mechanism
