"""`AsyncSession`: what the calls of one async client share: options, connections, known servers.

`AsyncClient` has one, and copies of it with other options. `generate_many` has one for each server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from hfgen._async.abort_scope import begin_interrupt
from hfgen._async.driver import drive
from hfgen._async.stream import AsyncStream
from hfgen._core.call import Call
from hfgen._core.context import CallContext
from hfgen._core.errors import HfgenError
from hfgen._core.settings import Settings
from hfgen._io.connecting import split_connection_options
from hfgen._io.environment import ENVIRONMENT
from hfgen._io.target_cache import TargetCache
from hfgen._options import (
    collect_options,
    complete_request,
    override_client_settings,
    override_settings,
    split_request_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hfgen._core.conversation import Conversation, Opened
    from hfgen._core.fetch import FetchRequest, FetchResponse
    from hfgen._core.request import RequestLike
    from hfgen._core.verbs import Verb
    from hfgen._io.interrupt import Interrupt

T = TypeVar("T")


class AsyncSession:
    """What a call needs besides its request.

    Args:
        options: The options of a client; see `AsyncClientOptions`.

    Attributes:
        settings: The options of each call.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: An option's value cannot be used.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        connection_options, call_options = split_connection_options(options)
        from hfgen._async.transport import AsyncTransport  # noqa: PLC0415 - imports aiohttp

        self._connection = {n: v for n, v in options.items() if n not in call_options}
        self.settings = override_client_settings(Settings(), call_options)
        self._transport = AsyncTransport(connection_options)
        self._cache = TargetCache()
        self._owns_transport = True
        self._is_closed = False

    def collect_options(self) -> dict[str, Any]:
        """Return the options of another session like this one.

        Raises:
            TypeError: Another process could not have one of them.
        """
        return collect_options(self.settings, self._connection)

    def with_settings(self, settings: Settings) -> AsyncSession:
        """Return a session with these settings on the same connections, which it does not close."""
        session = object.__new__(AsyncSession)
        session.__dict__.update(self.__dict__, settings=settings, _owns_transport=False)
        return session

    def with_options(self, options: Mapping[str, Any]) -> AsyncSession:
        """Return a session with these options over this one's, on the same connections."""
        return self.with_settings(override_client_settings(self.settings, options))

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
            context = self._context(settings, interrupt)
            return await self._drive(converse(context), settings, interrupt)
        finally:
            interrupt.end()

    async def open_stream(self, call: Call[Opened[T]], settings: Settings) -> AsyncStream[T]:
        """Make a call that returns a stream. The stream ends the call."""
        interrupt = begin_interrupt(settings)
        context = self._context(settings, interrupt)

        async def reopen(error: HfgenError) -> Opened[T] | None:
            return await self._drive(call.resume(context, error), settings, interrupt)

        try:
            opened = await self._drive(call.converse(context), settings, interrupt)
            # Closing hfgen's own connection wakes a read; closing a caller's may not.
            return AsyncStream(opened, interrupt, reopen, guarded=settings.fetch is not None)
        except BaseException:
            interrupt.end()
            raise

    def _prepare(
        self, request: RequestLike, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Settings]:
        overrides, rest = split_request_options(options)
        settings = override_settings(self.settings, rest)
        return complete_request(request, settings, overrides), settings

    def _context(self, settings: Settings, interrupt: Interrupt) -> CallContext:
        return CallContext(settings, ENVIRONMENT, interrupt, interrupt, self._cache.found)

    async def _drive(
        self, conversation: Conversation[T], settings: Settings, interrupt: Interrupt
    ) -> T:
        is_closed = self._is_closed or self._transport.closed
        fetch = _refuse if is_closed else settings.fetch or self._transport
        return await drive(conversation, fetch, interrupt, settings.on_retry, self._cache)


async def _refuse(_: FetchRequest) -> FetchResponse:
    # Raised in place of a request, so that a stream that resumes can add its text to the error.
    raise HfgenError("the client is closed")
