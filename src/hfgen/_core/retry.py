"""Whether and when a failed call is tried again. Pure: it never sleeps and reads no clock."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec

from hfgen._core.errors import (
    ConnectError,
    HfgenError,
    IncompleteGenerationError,
    InvalidRequestError,
    ModelLoadingError,
    OverloadedError,
    StatusError,
    TimeoutError,  # noqa: A004
)
from hfgen._core.statuses import find_meaning

if TYPE_CHECKING:
    from collections.abc import Callable

# Beyond it a float overflows, long after any limit.
_MAX_DOUBLINGS = 100
# Seconds, some eleven days: platforms refuse to wait for what a server may ask for, as `inf`.
_LONGEST = 1e6
# Seconds between two questions whether the model is loaded: not too eager, not too late.
_PACE = (1.0, 10.0)


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """When a call that has failed before its first token is tried again.

    Tried again: connections that could not be made or broke; 408, 409, 425, 429, 502, 503, 504; an
    overloaded server, whatever the status it says so under, also inside a stream. Never: after a
    token has been handed out, what a repetition cannot mend, an abort.

    Attributes:
        max_retries: How many attempts may follow the first one.
        backoff: Seconds that the first wait is drawn from; each further one doubles them.
        max_backoff: Seconds that no wait of hfgen's own choice exceeds.
        max_wait: Seconds that no wait exceeds that the server asks for. If it asks for more, the
            call fails at once.
        wait_for_model: Seconds from the call on during which a model that is loading, or an
            endpoint that is waking up, is waited for. That counts against no other limit.

    Raises:
        InvalidRequestError: A value is no number, or below 0.
    """

    max_retries: int = 2
    backoff: float = 0.5
    max_backoff: float = 8.0
    max_wait: float = 60.0
    wait_for_model: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.max_retries, bool) or not isinstance(self.max_retries, int):
            raise InvalidRequestError(
                f"max_retries must be a whole number from 0, not {self.max_retries!r}"
            )
        for name in ("max_retries", "backoff", "max_backoff", "max_wait", "wait_for_model"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value >= 0:
                raise InvalidRequestError(f"{name} must be a number from 0, not {value!r}")

    def wait(
        self,
        retries: int,
        error: HfgenError,
        elapsed: float = 0.0,
        draw: Callable[[], float] = random.random,
    ) -> float | None:
        """Return the seconds to wait before the next attempt, None if there is to be none.

        Args:
            retries: How many attempts have followed the first one so far, those aside that
                `waits_for_model`.
            error: Why the last one failed.
            elapsed: Seconds since the call.
            draw: Gives a number in [0, 1). Waits are drawn from the whole of their range, so
                that clients that failed together do not come back together
                (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
        """
        if self.waits_for_model(error, elapsed):
            return self._pace(error, elapsed)
        if retries >= self.max_retries or not _is_transient(error):
            return None
        return self.delay(retries, error, draw)

    def delay(
        self, retries: int, error: HfgenError, draw: Callable[[], float] = random.random
    ) -> float | None:
        """Return the seconds to wait if there is to be a next attempt, None if they are too many.

        Args:
            retries: How many attempts have followed the first one so far.
            error: Why the last one failed.
            draw: Gives a number in [0, 1).
        """
        requested = self.find_requested_wait(error)
        if requested is not None:
            return min(requested, _LONGEST) if requested <= self.max_wait else None
        return draw() * min(self.backoff * 2.0 ** min(retries, _MAX_DOUBLINGS), self.max_backoff)

    def waits_for_model(self, error: HfgenError, elapsed: float) -> bool:
        """Tell whether the error is that the model is not there yet, and it may be waited for."""
        return isinstance(error, ModelLoadingError) and elapsed < self.wait_for_model

    @staticmethod
    def find_requested_wait(error: HfgenError) -> float | None:
        """Return the seconds that the server asks to be left alone, None if it does not."""
        return error.retry_after if isinstance(error, StatusError) else None

    def _pace(self, error: HfgenError, elapsed: float) -> float:
        guess = error.estimated_time if isinstance(error, ModelLoadingError) else None
        requested = self.find_requested_wait(error)
        least, most = _PACE
        wait = min(max(guess or least, least), most) if requested is None else requested
        return min(wait, max(self.wait_for_model - elapsed, 0.0), _LONGEST)


def _is_transient(error: HfgenError) -> bool:
    """Tell whether another attempt may go better. What has text had begun to answer."""
    if error.text:
        return False
    if isinstance(error, StatusError):
        return find_meaning(error.status).is_transient or isinstance(error, OverloadedError)
    if isinstance(error, TimeoutError):
        return error.phase == "connect"
    return isinstance(error, ConnectError | IncompleteGenerationError)
