"""`Session`: what the calls of one sync client share: options, connections, known servers.

`Client` has one, and copies of it with other options. `generate_many` has one for each server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from hfgen._core.call import Call
from hfgen._core.context import CallContext
from hfgen._core.errors import HfgenError
from hfgen._core.settings import Settings
from hfgen._io.connecting import split_connection_options
from hfgen._io.environment import ENVIRONMENT
from hfgen._io.interrupt import Interrupt
from hfgen._io.target_cache import TargetCache
from hfgen._options import (
    collect_options,
    complete_request,
    override_client_settings,
    override_settings,
    split_request_options,
)
from hfgen._sync.deadlines import unwatch, watch
from hfgen._sync.driver import drive
from hfgen._sync.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hfgen._core.conversation import Conversation, Opened
    from hfgen._core.fetch import FetchRequest, FetchResponse
    from hfgen._core.request import RequestLike
    from hfgen._core.verbs import Verb

T = TypeVar("T")


class Session:
    """What a call needs besides its request.

    Args:
        options: The options of a client; see `ClientOptions`.

    Attributes:
        settings: The options of each call.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: An option's value cannot be used.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        from hfgen._sync.transport import SyncTransport  # noqa: PLC0415 - imports urllib3

        connection_options, call_options = split_connection_options(options)
        self._connection = {n: v for n, v in options.items() if n not in call_options}
        self.settings = override_client_settings(Settings(), call_options)
        self._transport = SyncTransport(connection_options)
        self._cache = TargetCache()
        self._owns_transport = True
        self._is_closed = False

    def collect_options(self) -> dict[str, Any]:
        """Return the options of another session like this one.

        Raises:
            TypeError: Another process could not have one of them.
        """
        return collect_options(self.settings, self._connection)

    def with_settings(self, settings: Settings) -> Session:
        """Return a session with these settings on the same connections, which it does not close."""
        session = object.__new__(Session)
        session.__dict__.update(self.__dict__, settings=settings, _owns_transport=False)
        return session

    def with_options(self, options: Mapping[str, Any]) -> Session:
        """Return a session with these options over this one's, on the same connections."""
        return self.with_settings(override_client_settings(self.settings, options))

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
            context = self._context(settings, interrupt)
            return self._drive(converse(context), settings, interrupt)
        finally:
            unwatch(interrupt)

    def open_stream(self, call: Call[Opened[T]], settings: Settings) -> Stream[T]:
        """Make a call that returns a stream. The stream ends the call."""
        interrupt = _begin_interrupt(settings)
        context = self._context(settings, interrupt)

        def reopen(error: HfgenError) -> Opened[T] | None:
            return self._drive(call.resume(context, error), settings, interrupt)

        try:
            opened = self._drive(call.converse(context), settings, interrupt)
            return Stream(opened, interrupt, reopen)
        except BaseException:
            unwatch(interrupt)
            raise

    def _prepare(
        self, request: RequestLike, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Settings]:
        overrides, rest = split_request_options(options)
        settings = override_settings(self.settings, rest)
        return complete_request(request, settings, overrides), settings

    def _context(self, settings: Settings, interrupt: Interrupt) -> CallContext:
        return CallContext(settings, ENVIRONMENT, interrupt, interrupt, self._cache.found)

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
