"""How long a call may take, phase by phase."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import force_setattr

from hfgen._core.errors import InvalidRequestError

# Seconds, 49 days: Windows cannot wait longer (`threading.TIMEOUT_MAX` there). No limit then.
_LONGEST = 4_294_967


class Timeout(msgspec.Struct, frozen=True, kw_only=True):
    """The seconds that each phase of a call may take; None means no limit.

    Only waiting counts: what the caller does between two tokens does not, except for `total`.
    Comments that a server sends to keep a connection alive are no tokens.

    Attributes:
        connect: To make a connection. (Looking a name up is up to the system, and outside.)
        first_token: From the request to the first token; in `run`, to the end of the answer. What
            `connect` allows comes on top.
        between_tokens: From one token to the next.
        total: From the call to the end of its stream, with all attempts and waits.

    Raises:
        InvalidRequestError: A value is no number above 0.
    """

    connect: float | None = 10.0
    first_token: float | None = 600.0
    between_tokens: float | None = 60.0
    total: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            seconds = _seconds(getattr(self, name), f"Timeout.{name}")
            force_setattr(self, name, seconds)

    @staticmethod
    def of(value: Any) -> Timeout:
        """Return the `Timeout` that an option stands for.

        One number is for each phase but `total` (and connecting takes 10 of them at most).
        """
        if isinstance(value, Timeout):
            return value
        seconds = _seconds(value, "timeout")
        connect = seconds if seconds is None else min(seconds, Timeout().connect or seconds)
        return Timeout(connect=connect, first_token=seconds, between_tokens=seconds)


def _seconds(value: Any, what: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidRequestError(f"{what} must be seconds above 0, or None, not {value!r}")
    return float(value) if value < _LONGEST else None
