"""`RateLimit`, how many requests and tokens a minute, and the `Limiter` that keeps to it.

Each limit is a token bucket (https://en.wikipedia.org/wiki/Token_bucket), which fills at an even
rate. The tokens of a request are not known when it is sent: as many as it may use are taken from
the bucket, and what it has not used is given back when the answer has come. Pure: every method is
told the time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MINUTE = 60.0
# A bucket holds what comes in during this many seconds: little enough for an even rate, and enough
# that a high rate does not need a timer for each request.
_BURST = 0.1
# Smaller amounts are rounding errors.
_ROUNDING = 1e-9
# The weight of a new value that is below the estimate; a higher one replaces it at once.
_SMOOTHING = 0.1
# The estimates before the first answer: tokens of a character of the prompt, and tokens of an
# answer if the request has no `max_new_tokens`.
_TOKENS_PER_CHARACTER, _ANSWER_TOKENS = 0.25, 128.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How much `generate_many` may ask for in a minute, evenly spread.

    Attributes:
        requests_per_minute: How many requests, failed ones included; None for no limit.
        tokens_per_minute: How many tokens, of prompts and answers together; None for no limit. The
            request counts with its `max_new_tokens` when it is sent, or without them with the
            tokens of the longest recent answers; this is corrected when its answer has come.

    Raises:
        InvalidRequestError: A value is not a number above 0.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise InvalidRequestError(
                    f"RateLimit.{field.name} must be a number above 0, or None, not {value!r}"
                )


class Bucket:
    """A token bucket that may be overdrawn; then nothing may go until it has filled up again.

    Args:
        per_minute: How much comes in.
        min_capacity: What it can hold at least, if the amount of `_BURST` seconds is less.
    """

    def __init__(self, per_minute: float, min_capacity: float = 0.0) -> None:
        self._rate = per_minute / _MINUTE
        self._capacity = max(self._rate * _BURST, min_capacity)
        self._level = self._capacity
        self._filled_at: float | None = None

    def ready_at(self, now: float, amount: float = 0.0) -> float:
        """Return when this amount may be taken: `now` or later."""
        self._fill(now)
        missing = min(amount, self._capacity) - self._level
        return now if missing <= _ROUNDING else now + missing / self._rate

    def take(self, amount: float) -> None:
        """Take this amount; a negative one is given back."""
        self._level = min(self._level - amount, self._capacity)

    def _fill(self, now: float) -> None:
        if self._filled_at is not None:
            self._level = min(self._level + (now - self._filled_at) * self._rate, self._capacity)
        self._filled_at = now


class Limiter:
    """Keeps to a `RateLimit`.

    Args:
        limit: The limit; None for none.
    """

    def __init__(self, limit: RateLimit | None) -> None:
        requests = limit.requests_per_minute if limit else None
        tokens = limit.tokens_per_minute if limit else None
        self._requests = None if requests is None else Bucket(requests, min_capacity=1.0)
        self._tokens = None if tokens is None else Bucket(tokens)
        self._tokens_per_character = _Estimate(_TOKENS_PER_CHARACTER)
        self._answer_tokens = _Estimate(_ANSWER_TOKENS)

    def ready_at(self, now: float) -> float:
        """Return when the next request may go: `now` or later."""
        requests = now if self._requests is None else self._requests.ready_at(now, 1.0)
        tokens = now if self._tokens is None else self._tokens.ready_at(now)
        return max(requests, tokens)

    def charge(self, request: Mapping[str, Any]) -> float:
        """Take a request that goes now from the buckets; return its estimated tokens."""
        if self._requests is not None:
            self._requests.take(1.0)
        if self._tokens is None:
            return 0.0
        parameters = request.get("parameters") or {}
        most = parameters.get("max_new_tokens") or self._answer_tokens.value
        sequences = parameters.get("num_return_sequences") or 1
        prompt_tokens = len(request["inputs"]) * self._tokens_per_character.value
        tokens = prompt_tokens + most * sequences
        self._tokens.take(tokens)
        return float(tokens)

    def settle(
        self,
        charged: float,
        request: Mapping[str, Any],
        prompt_tokens: int | None,
        answer_tokens: int | None,
    ) -> None:
        """Correct what `charge` took for a request by what it used.

        Args:
            charged: What `charge` returned for the request.
            request: The request.
            prompt_tokens: The tokens of its prompt; None if that is not known.
            answer_tokens: The tokens of its answer; None if that is not known. Then the estimate
                stands.
        """
        if self._tokens is None:
            return
        characters = len(request["inputs"])
        if prompt_tokens is None:
            prompt_tokens = round(characters * self._tokens_per_character.value)
        elif characters:
            self._tokens_per_character.learn(prompt_tokens / characters)
        if answer_tokens is not None:
            self._answer_tokens.learn(answer_tokens)
            self._tokens.take(prompt_tokens + answer_tokens - charged)

    def give_back(self, charged: float) -> None:
        """Give back what `charge` took for a request that has used no tokens."""
        if self._tokens is not None:
            self._tokens.take(-charged)


class _Estimate:
    """What a value is at most: higher values replace it, lower ones make it slowly smaller.

    Args:
        value: The estimate before the first value.
    """

    def __init__(self, value: float) -> None:
        self.value = value
        self._has_learned = False

    def learn(self, value: float) -> None:
        if value >= self.value or not self._has_learned:
            self.value = value
        else:
            self.value += _SMOOTHING * (value - self.value)
        self._has_learned = True
