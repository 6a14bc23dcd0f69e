"""`AbortController` and `AbortSignal`: end a call from any thread, by the web's interface."""

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

    An `AbortController` makes it. (For a time limit use `Timeout(total=...)`.) One signal may serve
    any number of calls, in any thread. It cannot be reset.

    Attributes:
        aborted: Whether the signal has been aborted. Read-only.
    """

    def __init__(self) -> None:
        # Re-entrant, unlike a `threading.Event`: a signal handler may abort in the middle of any of
        # these methods.
        self._lock = threading.RLock()
        # Made by the first `wait`: each call has a signal of its own, and few of them wait.
        self._changed: threading.Condition | None = None
        # Not a property, because it is read for each token.
        self.aborted = False
        self._listeners: dict[object, Callable[[], object]] = {}
        self._reason: object = None

    @property
    def reason(self) -> object:
        """What was passed to `abort`, None if nothing or not aborted."""
        return self._reason

    def wait(self, seconds: float | None = None) -> bool:
        """Block until aborted, or until the seconds have passed; return whether it was aborted."""
        with self._lock:
            if self._changed is None:
                self._changed = threading.Condition(self._lock)
            return self._changed.wait_for(lambda: self.aborted, seconds)

    def throw_if_aborted(self) -> None:
        """Raise `AbortError` if the signal has been aborted."""
        if self.aborted:
            raise self.error()

    def error(self, text: str = "") -> HfgenError:
        """Return the error for this abort, with the text received so far."""
        message = "the call was aborted" if self._reason is None else f"aborted: {self._reason}"
        return AbortError(message, reason=self._reason, text=text)

    def subscribe(self, listener: Callable[[], object]) -> Callable[[], object]:
        """Call `listener` once, in the thread that aborts; now if already aborted.

        An exception that the listener raises is logged.

        Returns:
            A callable that removes the listener. An abort that runs in another thread at that
            moment may still call the listener.
        """
        key = object()
        with self._lock:
            self._listeners[key] = listener

        def unsubscribe() -> Callable[[], object] | None:
            with self._lock:
                return self._listeners.pop(key, None)

        # An abort since `with` has called the listener, and removed it.
        if self.aborted and unsubscribe() is not None:
            _call_listener(listener)

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
            _call_listener(listener)

    def __repr__(self) -> str:
        return f"<AbortSignal {'aborted' if self.aborted else 'not aborted'}>"


def _call_listener(listener: Callable[[], object]) -> None:
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
        """Abort every call that has the signal.

        May be called from any thread, and repeatedly; only the first call has an effect. A blocked
        read wakes at once, its connection is closed, and the call raises `AbortError`.

        Args:
            reason: Becomes `AbortError.reason`, and is shown in its message. None by default.
        """
        self.signal._abort(reason)  # noqa: SLF001 - the two are one mechanism
