"""The plan of a worker, and how limits for all workers together are divided among them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfgen._bulk.rate_limit import RateLimit
from hfgen._core.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hfgen._core.request import AnyRequest

# How many times as long as the mean answer the slowest answer of a block takes.
_SLOWEST_TO_MEAN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """How each row becomes a request, where requests go, and how many at once.

    All workers of a run have equal plans. A plan is pickled and sent to each worker.

    Attributes:
        request: Makes the request of a row.
        model: The model of requests that name none.
        concurrency: How many requests one worker may have at once: at first, and at most.
        rate_limit: What one worker may ask for in a minute.
        api_urls: The servers; None for the provider that `options` names.
        stream: Whether to read answers as streams.
        patience: Seconds during which a row is tried again that servers refuse for their load.
        options: The options of the worker's client.
        ambient_key: The key for Hugging Face's own hosts that the driver's environment has.
        own_key: `HFGEN_API_KEY` and `HFGEN_API_URL` of the driver, empty if it has no such key.
    """

    request: Callable[[Any], AnyRequest]
    model: str | None
    concurrency: tuple[int, int]
    rate_limit: RateLimit | None
    api_urls: tuple[str, ...] | None
    stream: bool
    patience: float
    options: dict[str, Any] = field(repr=False)
    ambient_key: str | None = field(repr=False)
    own_key: dict[str, str] = field(repr=False, default_factory=dict)


def share_concurrency(total: tuple[int, int], workers: int) -> tuple[int, int]:
    """Return how many requests each worker may have at once, at first and at most.

    The shares are rounded down, so that the workers together never exceed the maximum.

    Args:
        total: How many requests all workers together may have at once, at first and at most.
        workers: How many workers there are.

    Raises:
        InvalidRequestError: There are more workers than requests at once.
    """
    initial, maximum = total
    if maximum < workers:
        raise InvalidRequestError(
            f"concurrency {maximum} cannot be shared among {workers} workers: "
            "raise it, or lower workers"
        )
    return max(initial // workers, 1), maximum // workers


def share_rate_limit(total: RateLimit | None, workers: int) -> RateLimit | None:
    """Return what each worker may ask for in a minute."""
    if total is None:
        return None
    requests, tokens = total.requests_per_minute, total.tokens_per_minute
    return RateLimit(
        requests_per_minute=None if requests is None else requests / workers,
        tokens_per_minute=None if tokens is None else tokens / workers,
    )


def count_blocks_at_once(plan: WorkerPlan, rows_per_block: int) -> int:
    """Return how many blocks a worker needs at once to use all of its concurrency.

    A block stays in the worker until its slowest row is done, long after most of its rows. Rows of
    other blocks have to take their places meanwhile.
    """
    return -(-_SLOWEST_TO_MEAN * plan.concurrency[1] // rows_per_block) + 1
