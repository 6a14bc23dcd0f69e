"""Aborting a call from anywhere: the web's AbortController, for threads and for asyncio."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING

from hfgen._core.errors import AbortError, HfgenError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable


log = logging.getLogger("hfgen")


class AbortSignal:
    """Tells a call that it is no longer wanted.

    Comes from an `AbortController`, or from `AbortSignal.timeout(seconds)`. One signal may serve
    any number of calls, in any thread; once aborted it stays so.

    Attributes:
        aborted: Whether the signal has been aborted. To be read only.
    """

    def __init__(self) -> None:
        # One that may be taken twice: a signal handler may abort in the middle of any of these
        # methods. (A `threading.Event` has one that may not.)
        self._lock = threading.RLock()
        # On that lock, for who waits, which few do: each call has a signal of its own.
        self._changed: threading.Condition | None = None
        # No property: it is looked at for every token.
        self.aborted = False
        self._listeners: dict[object, Callable[[], object]] = {}
        self._reason: object = None

    @staticmethod
    def timeout(seconds: float) -> AbortSignal:
        """Return a signal that aborts itself after so many seconds.

        Raises:
            InvalidRequestError: `seconds` is negative.
        """
        if not seconds >= 0:
            raise InvalidRequestError(f"AbortSignal.timeout takes seconds >= 0, not {seconds!r}")
        signal = AbortSignal()
        if seconds >= threading.TIMEOUT_MAX:
            return signal
        # The timer must not keep a forgotten signal alive, nor outlive it.
        alive = weakref.ref(signal)

        def fire() -> None:
            if (target := alive()) is not None:
                target._abort(f"{seconds:g} s have passed")  # noqa: SLF001 - a closure of this class

        timer = threading.Timer(seconds, fire)
        timer.daemon = True
        timer.start()
        weakref.finalize(signal, timer.cancel)
        return signal

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
