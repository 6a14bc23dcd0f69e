"""What the workers are told, and how a limit of all is shared among them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfgen._bulk.rate_limit import RateLimit
from hfgen._core.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hfgen._core.request import RequestLike

# How many times the mean the slowest answer of a block takes.
_SLOWEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What each worker asks, where, and how much at once; pickled on the way to it.

    Attributes:
        request: Makes a row's request.
        model: The model of rows that name none.
        concurrency: How many requests at once, of one worker: at first, and at most.
        rate_limit: What one worker may ask for in a minute.
        api_urls: The servers; None for the provider among the options.
        stream: Whether answers are read as streams.
        options: The client's.
        ambient_key: The key that the driver's environment offers for Hugging Face's own hosts.
    """

    request: Callable[[Any], RequestLike]
    model: str | None
    concurrency: tuple[int, int]
    rate_limit: RateLimit | None
    api_urls: tuple[str, ...] | None
    stream: bool
    options: dict[str, Any] = field(repr=False)
    ambient_key: str | None = field(repr=False)


def share_of_concurrency(whole: tuple[int, int], workers: int) -> tuple[int, int]:
    """Return what each worker may have at once, so that all together never exceed the whole.

    Args:
        whole: At first and at most, of all workers together.
        workers: How many there are.

    Raises:
        InvalidRequestError: There are more workers than requests at once.
    """
    first, most = whole
    if most < workers:
        raise InvalidRequestError(
            f"concurrency {most} cannot be shared among {workers} workers: "
            "raise it, or lower workers"
        )
    return max(first // workers, 1), most // workers


def share_of_rate(whole: RateLimit | None, workers: int) -> RateLimit | None:
    """Return what each worker may ask for in a minute."""
    if whole is None:
        return None
    requests, tokens = whole.requests_per_minute, whole.tokens_per_minute
    return RateLimit(
        requests_per_minute=None if requests is None else requests / workers,
        tokens_per_minute=None if tokens is None else tokens / workers,
    )


def calls_at_once(plan: Plan, rows_per_block: int) -> int:
    """Return how many blocks a worker needs at once, so that no request idles.

    A block is held until the slowest of its rows is done, while all the others have been long.
    """
    return -(-_SLOWEST * plan.concurrency[1] // rows_per_block) + 1
