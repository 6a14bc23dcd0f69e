"""`Settings`: the options of a call with their defaults filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import asdict

from hfgen._core.errors import InvalidRequestError
from hfgen._core.headers import NO_HEADERS, Headers
from hfgen._core.retry import Retry
from hfgen._core.sse import MAX_EVENT_BYTES
from hfgen._core.timeout import Timeout
from hfgen._core.url import redact_url

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from hfgen._io.signal import AbortSignal


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a call, with their defaults filled in. Immutable.

    `hfgen._options` describes each option, checks it, and makes a copy of the settings with it.
    """

    api_key: str | None = None
    api_url: str | None = None
    fetch: Any = None
    headers: Headers = NO_HEADERS
    signal: AbortSignal | None = None
    timeout: Timeout = Timeout()
    retry: Retry = Retry()
    on_retry: Callable[..., object] | None = None
    resume: bool = False
    max_event_bytes: int = MAX_EVENT_BYTES
    dialect: str = "auto"
    provider: str | None = None
    bill_to: str | None = None
    model: str | None = None
    parameters: dict[str, Any] = {}

    @property
    def caller(self) -> Hashable:
        """The options that may make a question to a server fail. For `Ask`.

        Only calls for which these are equal share a failure.
        """
        return (self.api_key, *self.headers.items(), self.timeout, self.retry, id(self.fetch))

    def to_options(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, the key included."""
        unset = Settings()
        return {name: v for name, v in asdict(self).items() if v != getattr(unset, name)}

    def __repr__(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # msgspec's own representation would show the key.
        shown = self.to_options()
        if self.api_key is not None:
            shown["api_key"] = "***"
        if self.api_url is not None:
            shown["api_url"] = redact_url(self.api_url)
        return list(shown.items())


def check_key(key: str, source: str) -> str:
    """Return the key if a header can hold it.

    HTTP libraries check this too, but their error messages show the key.

    Raises:
        InvalidRequestError: A header cannot hold the key. The message has the source of the key,
            and not the key.
    """
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidRequestError(f"{source} must be printable ASCII without spaces")
    return key
