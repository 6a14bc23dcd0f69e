"""`AsyncSession`: what the calls of one async client share: options, connections, known servers.

`AsyncClient` has one, and copies of it with other options. `generate_many` has one for each server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from hfgen._async.abort_scope import begin_interrupt
from hfgen._async.driver import drive
from hfgen._async.stream import AsyncStream
from hfgen._core.call import Call
from hfgen._core.errors import HfgenError
from hfgen._session import BaseSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hfgen._async.transport import AsyncTransport
    from hfgen._core.context import CallContext
    from hfgen._core.conversation import Conversation, Opened
    from hfgen._core.fetch import FetchRequest, FetchResponse
    from hfgen._core.request import RequestLike
    from hfgen._core.settings import Settings
    from hfgen._core.verbs import Verb
    from hfgen._io.connecting import ConnectionOptions
    from hfgen._io.interrupt import Interrupt

T = TypeVar("T")


class AsyncSession(BaseSession):
    """What a call needs besides its request; see `BaseSession`."""

    def _make_transport(self, options: ConnectionOptions) -> AsyncTransport:
        from hfgen._async.transport import AsyncTransport  # noqa: PLC0415 - imports aiohttp

        return AsyncTransport(options)

    async def aclose(self) -> None:
        """Close the connections of the running loop; further calls raise `HfgenError`."""
        self._is_closed = True
        if self._owns_transport:
            await self._transport.aclose()

    async def run(
        self,
        verb: Callable[[Mapping[str, Any], Settings], Verb[T]],
        request: RequestLike,
        options: Mapping[str, Any],
    ) -> T:
        """Make the call of a verb that returns a value."""
        normal, settings = self._prepare(request, options)
        return await self.drive(Call(normal, verb(normal, settings)).converse, settings)

    async def open(
        self,
        verb: Callable[[Mapping[str, Any], Settings], Verb[Opened[T]]],
        request: RequestLike,
        options: Mapping[str, Any],
    ) -> AsyncStream[T]:
        """Make the call of a verb that returns a stream."""
        normal, settings = self._prepare(request, options)
        return await self.open_stream(Call(normal, verb(normal, settings)), settings)

    async def drive(
        self, converse: Callable[[CallContext], Conversation[T]], settings: Settings
    ) -> T:
        """Make a call from its conversation; return its result."""
        interrupt = begin_interrupt(settings)
        try:
            context = self._make_context(settings, interrupt)
            return await self._drive(converse(context), settings, interrupt)
        finally:
            interrupt.end()

    async def open_stream(self, call: Call[Opened[T]], settings: Settings) -> AsyncStream[T]:
        """Make a call that returns a stream. The stream ends the call."""
        interrupt = begin_interrupt(settings)
        context = self._make_context(settings, interrupt)

        async def reopen(error: HfgenError) -> Opened[T] | None:
            return await self._drive(call.resume(context, error), settings, interrupt)

        try:
            opened = await self._drive(call.converse(context), settings, interrupt)
            # Closing hfgen's own connection wakes a read; closing a caller's may not.
            return AsyncStream(opened, interrupt, reopen, guarded=settings.fetch is not None)
        except BaseException:
            interrupt.end()
            raise

    async def _drive(
        self, conversation: Conversation[T], settings: Settings, interrupt: Interrupt
    ) -> T:
        is_closed = self._is_closed or self._transport.closed
        fetch = _refuse if is_closed else settings.fetch or self._transport
        return await drive(conversation, fetch, interrupt, settings.on_retry, self._cache)


async def _refuse(_: FetchRequest) -> FetchResponse:
    # Raised in place of a request, so that a stream that resumes can add its text to the error.
    raise HfgenError("the client is closed")
