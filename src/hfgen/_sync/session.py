"""`Session`: what the calls of one sync client share: options, connections, known servers.

`Client` has one, and copies of it with other options. `generate_many` has one for each server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from hfgen._core.call import Call
from hfgen._core.errors import HfgenError
from hfgen._io.interrupt import Interrupt
from hfgen._session import BaseSession
from hfgen._sync.deadlines import unwatch, watch
from hfgen._sync.driver import drive
from hfgen._sync.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hfgen._core.context import CallContext
    from hfgen._core.conversation import Conversation, Opened
    from hfgen._core.fetch import FetchRequest, FetchResponse
    from hfgen._core.request import RequestLike
    from hfgen._core.settings import Settings
    from hfgen._core.verbs import Verb
    from hfgen._io.connecting import ConnectionOptions
    from hfgen._sync.transport import SyncTransport

T = TypeVar("T")


class Session(BaseSession):
    """What a call needs besides its request; see `BaseSession`."""

    def _make_transport(self, options: ConnectionOptions) -> SyncTransport:
        from hfgen._sync.transport import SyncTransport  # noqa: PLC0415 - imports urllib3

        return SyncTransport(options)

    def close(self) -> None:
        """Close the idle connections; further calls raise `HfgenError`."""
        self._is_closed = True
        if self._owns_transport:
            self._transport.close()

    def run(
        self,
        verb: Callable[[Mapping[str, Any], Settings], Verb[T]],
        request: RequestLike,
        options: Mapping[str, Any],
    ) -> T:
        """Make the call of a verb that returns a value."""
        normal, settings = self._prepare(request, options)
        return self.drive(Call(normal, verb(normal, settings)).converse, settings)

    def open(
        self,
        verb: Callable[[Mapping[str, Any], Settings], Verb[Opened[T]]],
        request: RequestLike,
        options: Mapping[str, Any],
    ) -> Stream[T]:
        """Make the call of a verb that returns a stream."""
        normal, settings = self._prepare(request, options)
        return self.open_stream(Call(normal, verb(normal, settings)), settings)

    def drive(self, converse: Callable[[CallContext], Conversation[T]], settings: Settings) -> T:
        """Make a call from its conversation; return its result."""
        interrupt = _begin_interrupt(settings)
        try:
            context = self._make_context(settings, interrupt)
            return self._drive(converse(context), settings, interrupt)
        finally:
            unwatch(interrupt)

    def open_stream(self, call: Call[Opened[T]], settings: Settings) -> Stream[T]:
        """Make a call that returns a stream. The stream ends the call."""
        interrupt = _begin_interrupt(settings)
        context = self._make_context(settings, interrupt)

        def reopen(error: HfgenError) -> Opened[T] | None:
            return self._drive(call.resume(context, error), settings, interrupt)

        try:
            opened = self._drive(call.converse(context), settings, interrupt)
            return Stream(opened, interrupt, reopen)
        except BaseException:
            unwatch(interrupt)
            raise

    def _drive(self, conversation: Conversation[T], settings: Settings, interrupt: Interrupt) -> T:
        is_closed = self._is_closed or self._transport.closed
        fetch = _refuse if is_closed else settings.fetch or self._transport
        return drive(conversation, fetch, interrupt, settings.on_retry, self._cache)


def _begin_interrupt(settings: Settings) -> Interrupt:
    interrupt = Interrupt(settings.timeout, settings.signal)
    watch(interrupt)
    return interrupt


def _refuse(_: FetchRequest) -> FetchResponse:
    # Raised in place of a request, so that a stream that resumes can add its text to the error.
    raise HfgenError("the client is closed")
