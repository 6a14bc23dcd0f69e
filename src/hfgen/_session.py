"""`BaseSession`: what a sync and an async session share, without I/O of their own.

A session is what the calls of one client share: options, connections, known servers. The sides add
how a call is made (`_sync/session.py`, `_async/session.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from hfgen._core.context import CallContext
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
    from collections.abc import Mapping

    from hfgen._core.request import RequestLike
    from hfgen._io.connecting import ConnectionOptions
    from hfgen._io.interrupt import Interrupt


class BaseSession:
    """What a call needs besides its request.

    Args:
        options: The options of a client; see `ClientOptions` and `AsyncClientOptions`.

    Attributes:
        settings: The options of each call.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: An option's value cannot be used.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        connection_options, call_options = split_connection_options(options)
        self._connection = {n: v for n, v in options.items() if n not in call_options}
        self.settings = override_client_settings(Settings(), call_options)
        self._transport = self._make_transport(connection_options)
        self._cache = TargetCache()
        self._owns_transport = True
        self._is_closed = False

    def _make_transport(self, options: ConnectionOptions) -> Any:
        """Return the pool of connections of this side."""
        raise NotImplementedError

    def collect_options(self) -> dict[str, Any]:
        """Return the options of another session like this one.

        Raises:
            TypeError: Another process could not have one of them.
        """
        return collect_options(self.settings, self._connection)

    def with_settings(self, settings: Settings) -> Self:
        """Return a session with these settings on the same connections, which it does not close."""
        session = object.__new__(type(self))
        session.__dict__.update(self.__dict__, settings=settings, _owns_transport=False)
        return session

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return a session with these options over this one's, on the same connections."""
        return self.with_settings(override_client_settings(self.settings, options))

    def _prepare(
        self, request: RequestLike, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Settings]:
        overrides, rest = split_request_options(options)
        settings = override_settings(self.settings, rest)
        return complete_request(request, settings, overrides), settings

    def _make_context(self, settings: Settings, interrupt: Interrupt) -> CallContext:
        return CallContext(settings, ENVIRONMENT, interrupt, interrupt, self._cache.found)
