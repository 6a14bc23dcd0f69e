"""What a client has found out about servers, and what it is finding out: each thing once."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeAlias

from hfgen._errors import AbortError, HfgenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from hfgen._core.target import Target
    from hfgen._errors import StatusError
    from hfgen._interrupt import Interrupt

    _Targets: TypeAlias = tuple[Target, ...]
    # Why nothing was found, None if something was.
    _Asking: TypeAlias = Future[BaseException | None]

_NO_SUCH_ROUTE = frozenset({404, 405})
# Seconds after which a thread that waits for another's answer looks whether it still may.
_LOOK = 0.05


class Known:
    """The places to post to, by what they depend on. Safe for threads, and for many loops.

    Whoever comes first asks; who comes meanwhile gets the same answer, or the same error, unless
    that was about the first one's patience only.
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, _Targets] = {}
        self._asking: dict[Hashable, _Asking] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> _Targets | None:
        """Return what is remembered."""
        return self._found.get(key)

    def keep(self, key: Hashable, targets: _Targets) -> None:
        """Remember an answer."""
        self._found[key] = targets

    def doubt(self, key: Hashable, error: StatusError) -> None:
        """Forget what was remembered if an error tells that another server stands there now."""
        if error.status in _NO_SUCH_ROUTE:
            self._found.pop(key, None)

    def find(self, key: Hashable, ask: Callable[[], _Targets], call: Interrupt) -> _Targets:
        """Return the answer: the known one, or the one that is asked for now."""
        while (found := self._found.get(key)) is None:
            asking, is_first = self._begin(key)
            if not is_first:
                while not asking.done():
                    call.wait(_LOOK)
                    call.throw_if_aborted()
                _raise_shared(asking)
                continue
            try:
                self._found[key] = ask()
            except BaseException as error:
                self._end(key, asking, error)
                raise
            self._end(key, asking)
        return found

    async def afind(
        self, key: Hashable, ask: Callable[[], Awaitable[_Targets]], call: Interrupt
    ) -> _Targets:
        """Return the answer, as `find` does."""
        # Who has no loop does without them.
        import asyncio  # noqa: PLC0415

        from hfgen._async_interrupt import AbortScope  # noqa: PLC0415

        while (found := self._found.get(key)) is None:
            asking, is_first = self._begin(key)
            if not is_first:
                with AbortScope(call):
                    # Whoever asks may be in another thread. Not awaited: that would cancel it.
                    await asyncio.wait([asyncio.wrap_future(asking)])
                _raise_shared(asking)
                continue
            try:
                self._found[key] = await ask()
            except BaseException as error:
                self._end(key, asking, error)
                raise
            self._end(key, asking)
        return found

    def _begin(self, key: Hashable) -> tuple[_Asking, bool]:
        with self._lock:
            asking = self._asking.get(key)
            if asking is not None:
                return asking, False
            asking = self._asking[key] = Future()
            return asking, True

    def _end(self, key: Hashable, asking: _Asking, error: BaseException | None = None) -> None:
        del self._asking[key]
        asking.set_result(error)


def _raise_shared(asking: _Asking) -> None:
    error = asking.result()
    if isinstance(error, AbortError) or getattr(error, "phase", None) == "total":
        return
    if isinstance(error, HfgenError):
        # A copy: an exception that is raised in several places collects all of their frames.
        raise copy.copy(error)
