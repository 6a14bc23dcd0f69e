"""Whether and when a failed call is tried again. Pure: it never sleeps and reads no clock."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hfgen._errors import ConnectError, HfgenError, StatusError, TimeoutError  # noqa: A004

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_MAX_RETRIES = 2
# Beyond it a float overflows, long after any `max_wait`.
_MAX_DOUBLINGS = 100
_STATUSES = frozenset({408, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Waits between the attempts of a call, before the first byte of its answer.

    Attributes:
        max_retries: How many attempts may follow the first one.
        backoff: Seconds that the first wait is drawn from; each further one doubles them.
        max_wait: Seconds that no wait exceeds, whatever the server asks for.
    """

    max_retries: int = DEFAULT_MAX_RETRIES
    backoff: float = 0.5
    max_wait: float = 30.0

    def wait(
        self, retries: int, error: HfgenError, draw: Callable[[], float] = random.random
    ) -> float | None:
        """Return the seconds to wait before the next attempt, None if there is to be none.

        Args:
            retries: How many attempts have followed the first one so far.
            error: Why the last one failed.
            draw: Gives a number in [0, 1). Waits are drawn from the whole of their range, so
                that clients that failed together do not come back together
                (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
        """
        if retries >= self.max_retries or not _is_transient(error):
            return None
        asked = error.retry_after if isinstance(error, StatusError) else None
        if asked is not None:
            return asked if asked <= self.max_wait else None
        return draw() * min(self.backoff * 2.0 ** min(retries, _MAX_DOUBLINGS), self.max_wait)


def _is_transient(error: HfgenError) -> bool:
    if isinstance(error, StatusError):
        return error.status in _STATUSES
    if isinstance(error, TimeoutError):
        return error.phase == "connect"
    return isinstance(error, ConnectError)
