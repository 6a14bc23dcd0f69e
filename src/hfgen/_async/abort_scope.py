"""The interrupt of an async call: a timer for its deadlines, a scope that an abort cancels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hfgen._io.interrupt import Interrupt

if TYPE_CHECKING:
    from types import TracebackType

    from hfgen._core.settings import Settings
    from hfgen._io.signal import AbortSignal


def get_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises:
        RuntimeError: asyncio runs none in this thread.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "AsyncClient needs a running event loop of asyncio, and there is none; under trio, "
            "use hfgen.Client in a thread: await trio.to_thread.run_sync(client.run, prompt)"
        ) from None


def begin_interrupt(settings: Settings) -> Interrupt:
    """Return the interrupt of a new call. A timer checks its deadlines until its end.

    Raises:
        RuntimeError: asyncio runs no event loop in this thread.
    """
    get_loop()
    interrupt = _AsyncInterrupt(settings.timeout, settings.signal)
    interrupt.watch()
    return interrupt


class _AsyncInterrupt(Interrupt):
    """Has one timer for the whole call. A token does not reset it; when it fires, it checks."""

    _timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        if (seconds := self.check()) is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.watch)

    def end(self) -> None:
        super().end()
        # The garbage collector may end a stream in another thread, where a timer cannot be
        # cancelled. It fires then, and finds that the call has ended.
        if self._timer is not None and asyncio._get_running_loop() is not None:  # noqa: SLF001
            self._timer.cancel()


class AbortScope:
    """Cancels the awaits inside it when the signal is aborted, and raises `AbortError`.

    It works as `asyncio.timeout` does: it cancels the task, and `__exit__` undoes the cancellation
    unless the task has been cancelled from elsewhere, too.
    """

    __slots__ = ("_active", "_cancelling", "_fired", "_loop", "_signal", "_task", "_unsubscribe")

    def __init__(self, signal: AbortSignal) -> None:
        self._signal = signal

    def __enter__(self) -> None:
        self._signal.throw_if_aborted()
        task = asyncio.current_task()
        assert task is not None, "awaited outside a task"
        self._task = task
        self._cancelling = task.cancelling()
        self._active, self._fired = True, False
        self._loop = asyncio.get_running_loop()
        self._unsubscribe = self._signal.subscribe(self._wake)

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._fire)
        except RuntimeError:
            # The loop is closed, and so are its tasks.
            return

    def _fire(self) -> None:
        if self._active:
            self._fired = True
            self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._active = False
        self._unsubscribe()
        if self._fired and self._task.uncancel() <= self._cancelling:
            raise self._signal.error() from None
