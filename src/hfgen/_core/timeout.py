"""`Timeout`: how long each phase of a call may take."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import force_setattr

from hfgen._core.errors import InvalidRequestError

# Seconds, 49 days: Windows cannot wait longer (`threading.TIMEOUT_MAX`). More means no limit.
_MAX_SECONDS = 4_294_967


class Timeout(msgspec.Struct, frozen=True, kw_only=True):
    """The seconds that each phase of a call may take; None means no limit.

    Time that the caller spends between two tokens counts for `total` only. Comments that a server
    sends to keep a connection alive do not count as tokens.

    Attributes:
        connect: To make a connection. The look-up of the host's name is not included.
        first_token: From the request to the first token; in `run`, to the end of the answer. The
            time of `connect` is added to it.
        between_tokens: From one token to the next.
        total: From the start of the call to the end of its stream, with all attempts and waits.

    Raises:
        InvalidRequestError: A value is no number above 0.
    """

    connect: float | None = 10.0
    first_token: float | None = 600.0
    between_tokens: float | None = 60.0
    total: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            seconds = _check_seconds(getattr(self, name), f"Timeout.{name}")
            force_setattr(self, name, seconds)

    @staticmethod
    def of(value: Any) -> Timeout:
        """Return the `Timeout` that the option `timeout` stands for.

        A number is the limit of each phase but `total`, with at most 10 seconds for `connect`.
        """
        if isinstance(value, Timeout):
            return value
        seconds = _check_seconds(value, "timeout")
        connect = seconds if seconds is None else min(seconds, Timeout().connect or seconds)
        return Timeout(connect=connect, first_token=seconds, between_tokens=seconds)


def _check_seconds(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidRequestError(f"{name} must be seconds above 0, or None, not {value!r}")
    return float(value) if value < _MAX_SECONDS else None
