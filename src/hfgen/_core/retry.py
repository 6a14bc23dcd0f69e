"""`Retry`: whether and when a failed call is tried again. It never sleeps and reads no clock."""

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

# More doublings would make a float overflow. `max_backoff` limits the wait long before.
_MAX_DOUBLINGS = 100
# Seconds, some eleven days. A server may ask for more, even for `inf`, which no platform can wait.
MAX_WAIT = 1e6
# The shortest and the longest wait, in seconds, between two attempts while a model loads.
_MIN_LOADING_WAIT, _MAX_LOADING_WAIT = 1.0, 10.0


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """When a call that has failed before its first token is tried again.

    Tried again are connections that could not be made or broke, the statuses 408, 409, 425, 429,
    502, 503, 504 and 529, a server that reports that it is overloaded, under any status and also
    inside a stream, and a generation that broke off before its first token
    (`IncompleteGenerationError`). Not tried again are other errors, a certificate that was refused,
    aborted calls, and answers of which a token has come.

    Attributes:
        max_retries: How many attempts may follow the first one.
        backoff: The first wait is drawn from 0 to this many seconds. The range doubles for each
            further one.
        max_backoff: The maximum, in seconds, of the waits that hfgen draws.
        max_wait: The maximum, in seconds, of the waits that a server asks for. If it asks for more,
            the call fails at once.
        wait_for_model: Seconds, from the start of the call, during which to wait for a model that
            is loading or an endpoint that is waking up. These attempts do not count as retries.

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
            retries: How many attempts have followed the first one so far, without those that
                waited for a model.
            error: Why the last attempt failed.
            elapsed: Seconds since the start of the call.
            draw: Returns a number in [0, 1). Waits are drawn from the whole of their range, so
                that clients that failed together do not come back together
                (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
        """
        if self.waits_for_model(error, elapsed):
            return self._loading_wait(error, elapsed)
        if retries >= self.max_retries or not _is_transient(error):
            return None
        return self.delay(retries, error, draw)

    def delay(
        self, retries: int, error: HfgenError, draw: Callable[[], float] = random.random
    ) -> float | None:
        """Return the seconds to wait before a next attempt, None if the server asks for too many.

        Unlike `wait`, this does not judge whether another attempt makes sense.

        Args:
            retries: How many attempts have followed the first one so far.
            error: Why the last attempt failed.
            draw: Returns a number in [0, 1).
        """
        requested = self.find_requested_wait(error)
        if requested is not None:
            return min(requested, MAX_WAIT) if requested <= self.max_wait else None
        backoff = self.backoff * 2.0 ** min(retries, _MAX_DOUBLINGS)
        return draw() * min(backoff, self.max_backoff, MAX_WAIT)

    def waits_for_model(self, error: HfgenError, elapsed: float) -> bool:
        """Tell whether the model is still loading, and the time of `wait_for_model` is not over."""
        return isinstance(error, ModelLoadingError) and elapsed < self.wait_for_model

    @staticmethod
    def find_requested_wait(error: HfgenError) -> float | None:
        """Return the seconds that the server asks to wait, None if it does not ask."""
        return error.retry_after if isinstance(error, StatusError) else None

    def _loading_wait(self, error: HfgenError, elapsed: float) -> float:
        wait = self.find_requested_wait(error)
        if wait is None:
            estimate = error.estimated_time if isinstance(error, ModelLoadingError) else None
            wait = min(max(estimate or 0.0, _MIN_LOADING_WAIT), _MAX_LOADING_WAIT)
        return min(wait, max(self.wait_for_model - elapsed, 0.0), MAX_WAIT)


def _is_transient(error: HfgenError) -> bool:
    """Tell whether another attempt may succeed."""
    if error.text:
        # Tokens have come already.
        return False
    if isinstance(error, StatusError):
        return find_meaning(error.status).is_transient or isinstance(error, OverloadedError)
    if isinstance(error, TimeoutError):
        return error.phase == "connect"
    if isinstance(error, ConnectError):
        return not error.is_permanent
    return isinstance(error, IncompleteGenerationError)
