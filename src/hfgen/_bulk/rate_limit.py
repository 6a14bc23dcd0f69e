"""How many requests and tokens a minute. Pure: it is told the time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MINUTE = 60.0
# Seconds whose worth may go out at once: few enough for no burst, and many enough that a high rate
# does not need a timer for each request.
_BURST = 0.1
# What adding up small amounts may leave of nothing.
_HAIR = 1e-9
# How far the mean moves towards a new value.
_SMOOTHING = 0.1
# What a text is taken for before any answer has told: characters a token, and tokens an answer.
_CHARACTERS, _ANSWER = 4, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How much `generate_many` may ask for in a minute, evenly spread.

    Attributes:
        requests_per_minute: How many requests, attempts that fail included; None for no limit.
        tokens_per_minute: How many tokens, of prompts and answers together; None for no limit.
            How many a request will take is estimated by those before it, and made good when its
            answer has come.

    Raises:
        InvalidRequestError: A value is no number above 0.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise InvalidRequestError(
                    f"RateLimit.{each.name} must be a number above 0, or None, not {value!r}"
                )


class Bucket:
    """Fills at an even rate. It may be overdrawn; then nothing goes until that is made good.

    Args:
        per_minute: How much comes in.
        least: What it holds at any rate, if that is more than the rate's share.
    """

    def __init__(self, per_minute: float, least: float = 0.0) -> None:
        self._rate = per_minute / _MINUTE
        self._most = max(self._rate * _BURST, least)
        self._level = self._most
        self._at: float | None = None

    def ready_at(self, now: float, amount: float = 0.0) -> float:
        """Return when this much may go, which is `now` if it may at once."""
        self._fill(now)
        missing = min(amount, self._most) - self._level
        return now if missing <= _HAIR else now + missing / self._rate

    def take(self, amount: float) -> None:
        """Take this much; less than nothing gives it back."""
        self._level = min(self._level - amount, self._most)

    def _fill(self, now: float) -> None:
        if self._at is not None:
            self._level = min(self._level + (now - self._at) * self._rate, self._most)
        self._at = now


class Limiter:
    """The buckets of a `RateLimit`, and the estimate of what a request will take."""

    def __init__(self, limit: RateLimit | None) -> None:
        requests = limit.requests_per_minute if limit else None
        tokens = limit.tokens_per_minute if limit else None
        self._requests = None if requests is None else Bucket(requests, least=1.0)
        self._tokens = None if tokens is None else Bucket(tokens)
        self._mean: float | None = None

    def ready_at(self, now: float) -> float:
        """Return when the next request may go, which is `now` if it may at once."""
        requests = now if self._requests is None else self._requests.ready_at(now, 1.0)
        tokens = now if self._tokens is None else self._tokens.ready_at(now)
        return max(requests, tokens)

    def begun(self, request: Mapping[str, Any]) -> float:
        """Take in that a request goes; return for how many tokens it was charged."""
        if self._requests is not None:
            self._requests.take(1.0)
        if self._tokens is None:
            return 0.0
        charged = self._guess(request) if self._mean is None else self._mean
        self._tokens.take(charged)
        return charged

    def ended(self, charged: float, used: int | None) -> None:
        """Make good what the request was charged for.

        Args:
            charged: For how many tokens it was charged.
            used: How many it took, None where nobody says.
        """
        if self._tokens is None or used is None:
            return
        self._tokens.take(used - charged)
        self._mean = used if self._mean is None else self._mean + _SMOOTHING * (used - self._mean)

    @staticmethod
    def _guess(request: Mapping[str, Any]) -> float:
        most = (request.get("parameters") or {}).get("max_new_tokens")
        return len(request["inputs"]) / _CHARACTERS + (_ANSWER if most is None else most)
