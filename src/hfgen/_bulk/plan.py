"""What `generate_many` is asked for, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfgen._bulk.rate_limit import RateLimit
from hfgen._core.errors import HfgenError, InvalidRequestError, StreamClosedError
from hfgen._core.request import normalize_request
from hfgen._core.retry import Retry
from hfgen._core.routing import base_url
from hfgen._core.url import check
from hfgen._io.environment import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from hfgen._core.settings import Settings

_PAIR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPlan:
    """How rows are asked for.

    Attributes:
        urls: The servers' `api_url`s.
        concurrency: How many requests at once, in all: what to begin with, and the most.
        model: The model of rows that name none.
        rate_limit: How many a minute.
        ordered: Whether results are handed out in the order of the input.
        stream: Whether answers are read as streams.
        retry: What is tried again.
    """

    urls: tuple[str, ...]
    concurrency: tuple[int, int]
    model: str | None = None
    rate_limit: RateLimit | None = None
    ordered: bool = False
    stream: bool = True
    retry: Retry = field(default_factory=Retry)


def planned(
    settings: Settings,
    *,
    model: str | None,
    concurrency: int | tuple[int, int],
    rate_limit: RateLimit | None,
    api_urls: Sequence[str] | None,
    ordered: bool,
    stream: bool,
) -> BulkPlan:
    """Return the plan that the arguments of `generate_many` make.

    Raises:
        InvalidRequestError: One of them cannot be used.
    """
    if rate_limit is not None and not isinstance(rate_limit, RateLimit):
        raise InvalidRequestError(
            f"rate_limit must be a RateLimit, not {type(rate_limit).__name__}"
        )
    if model is not None and not isinstance(model, str):
        raise InvalidRequestError(f"model must be a string, not {type(model).__name__}")
    return BulkPlan(
        urls=_urls(settings, api_urls),
        concurrency=_concurrency(concurrency),
        model=model,
        rate_limit=rate_limit,
        ordered=ordered,
        stream=stream,
        retry=settings.retry,
    )


def requested(
    row: Any, make: Callable[[Any], Any] | None, model: str | None
) -> Mapping[str, Any] | HfgenError:
    """Return the normalised request that a row makes, or why it makes none."""
    try:
        request = normalize_request(row if make is None else make(row))
        return request if model is None else {"model": model, **request}
    except HfgenError as error:
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001 - it is the caller's function
        failure = InvalidRequestError(f"the row makes no request: {type(error).__name__}: {error}")
        failure.__cause__ = error.with_traceback(None)
        return failure


def checked_rows(rows: Any, *kinds: type) -> Any:
    """Return the rows, if they are an iterable of them, or of one of these kinds.

    Raises:
        InvalidRequestError: They are none.
    """
    if isinstance(rows, str | bytes | Mapping):
        raise InvalidRequestError(
            f"rows must be an iterable of rows, not a {type(rows).__name__}: for one there is `run`"
        )
    if not isinstance(rows, (Iterable, *kinds)):
        raise InvalidRequestError(f"rows must be an iterable of rows, not {type(rows).__name__}")
    return rows


def closed() -> StreamClosedError:
    """Return the error of who asks for a result after the iteration was left."""
    return StreamClosedError("the results were closed before their end")


def _urls(settings: Settings, api_urls: Sequence[str] | None) -> tuple[str, ...]:
    if api_urls is None:
        return (settings.provider or base_url(settings, ENVIRONMENT)[0],)
    if isinstance(api_urls, str) or not isinstance(api_urls, Sequence):
        raise InvalidRequestError(
            f"api_urls must be a list of URLs, not {type(api_urls).__name__}; "
            "for one server there is api_url"
        )
    for url in api_urls:
        check(url, "api_urls")
    if len(set(api_urls)) < len(api_urls) or not api_urls:
        raise InvalidRequestError(f"api_urls must be one URL or more, each once, not {api_urls!r}")
    return tuple(api_urls)


def _concurrency(value: Any) -> tuple[int, int]:
    pair = value if isinstance(value, tuple) else (value, value)
    are_counts = all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in pair)
    if len(pair) != _PAIR or not are_counts or pair[0] > pair[1]:
        raise InvalidRequestError(
            "concurrency must be a whole number from 1, or the least and the most, "
            f"as (1, 64), not {value!r}"
        )
    return pair
