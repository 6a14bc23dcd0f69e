"""What a client has found out about servers, and what it is finding out: each thing once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias

from hfgen._core.errors import AbortError, HfgenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable
    from concurrent.futures import Future

    from hfgen._core.errors import StatusError
    from hfgen._core.target import Target
    from hfgen._io.interrupt import Interrupt

    _Targets: TypeAlias = tuple[Target, ...]
    # Why nothing was found, None if something was.
    _Asking: TypeAlias = Future[BaseException | None]

_NO_SUCH_ROUTE = frozenset({404, 405})
# Seconds after which a thread that waits for another's answer looks whether it still may.
_LOOK = 0.05


class Known:
    """The places to post to, by what they depend on. Safe for threads, and for many loops.

    Whoever comes first asks; who comes meanwhile with the same options gets the same answer, or the
    same error, unless that was about the first one's patience only. Who has another key, or other
    limits, asks as well: an error may be about those.
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, _Targets] = {}
        self._asking: dict[Hashable, tuple[_Asking, object]] = {}
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

    def find(
        self, key: Hashable, who: Hashable, ask: Callable[[], _Targets], call: Interrupt
    ) -> _Targets:
        """Return the answer: the known one, or the one that is asked for now.

        Args:
            key: What the answer depends on.
            who: What an error depends on besides: how it is asked.
            ask: Asks.
            call: The call that needs to know.
        """
        question = key, who
        while (found := self._found.get(key)) is None:
            asking, is_first = self._begin(question, threading.current_thread())
            if not is_first:
                while not asking.done():
                    call.wait(_LOOK)
                    call.throw_if_aborted()
                _raise_shared(asking)
                continue
            try:
                self._found[key] = ask()
            except BaseException as error:
                self._end(question, asking, error)
                raise
            self._end(question, asking)
        return found

    async def afind(
        self, key: Hashable, who: Hashable, ask: Callable[[], Awaitable[_Targets]], call: Interrupt
    ) -> _Targets:
        """Return the answer, as `find` does."""
        # Who has no loop does without them.
        import asyncio  # noqa: PLC0415

        from hfgen._async.abort_scope import AbortScope  # noqa: PLC0415

        question = key, who
        while (found := self._found.get(key)) is None:
            asking, is_first = self._begin(question, asyncio.current_task())
            if not is_first:
                with AbortScope(call):
                    # Whoever asks may be in another thread. Not awaited: that would cancel it.
                    await asyncio.wait([asyncio.wrap_future(asking)])
                _raise_shared(asking)
                continue
            try:
                self._found[key] = await ask()
            except BaseException as error:
                self._end(question, asking, error)
                raise
            self._end(question, asking)
        return found

    def _begin(self, question: Hashable, asker: object) -> tuple[_Asking, bool]:
        from concurrent.futures import Future  # noqa: PLC0415 - many a URL leaves nothing to ask

        with self._lock:
            asking, first = self._asking.get(question, (None, None))
            if asking is not None and first is not asker:
                return asking, False
            # Who asks already is in the middle of it, as in `on_retry`, and cannot wait for itself.
            mine: _Asking = Future()
            if asking is None:
                self._asking[question] = mine, asker
            return mine, True

    def _end(self, question: Hashable, asking: _Asking, error: BaseException | None = None) -> None:
        with self._lock:
            if self._asking[question][0] is asking:
                del self._asking[question]
        asking.set_result(error)


def _raise_shared(asking: _Asking) -> None:
    error = asking.result()
    if isinstance(error, AbortError) or getattr(error, "phase", None) == "total":
        return
    if isinstance(error, HfgenError):
        import copy  # noqa: PLC0415 - rarely needed

        # A copy: an exception that is raised in several places collects all of their frames.
        raise copy.copy(error) from error.__cause__
