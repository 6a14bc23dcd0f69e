"""The arguments of `generate_many`, checked: a `BulkPlan`, the rows, and the request of a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfgen._bulk.rate_limit import RateLimit
from hfgen._core.errors import HfgenError, InvalidRequestError, StreamClosedError
from hfgen._core.retry import Retry
from hfgen._core.routing import find_base_url
from hfgen._core.url import check_url
from hfgen._io.environment import ENVIRONMENT
from hfgen._options import complete_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from hfgen._core.settings import Settings

_PAIR = 2
# How tables of pandas, polars and pyarrow give their rows, by a method that only they have. Their
# own iteration gives columns, or names of columns.
_FRAMES = {
    "itertuples": 'to_dict("records")',
    "to_dicts": "to_dicts()",
    "to_pylist": "to_pylist()",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPlan:
    """How the rows of a run are sent.

    Attributes:
        urls: The servers' `api_url`s.
        concurrency: How many requests at once, over all servers: at the beginning, and at most.
        model: The model of rows that name none.
        rate_limit: How many requests and tokens a minute; None for no limit.
        ordered: Whether results are handed out in the order of the input.
        stream: Whether answers are read as streams.
        retry: Which rows are tried again, and when.
        patience: Seconds during which a row is asked for again that a server refuses because of its
            load, from the first refusal on.
    """

    urls: tuple[str, ...]
    concurrency: tuple[int, int]
    model: str | None = None
    rate_limit: RateLimit | None = None
    ordered: bool = False
    stream: bool = True
    retry: Retry = field(default_factory=Retry)
    patience: float = 600.0

    @classmethod
    def from_arguments(
        cls,
        settings: Settings,
        *,
        concurrency: int | tuple[int, int],
        rate_limit: RateLimit | None,
        api_urls: Sequence[str] | None,
        ordered: bool,
        stream: bool,
        patience: float,
    ) -> BulkPlan:
        """Return the plan for the arguments of `generate_many`, and the client's settings.

        Raises:
            InvalidRequestError: An argument cannot be used.
        """
        if rate_limit is not None and not isinstance(rate_limit, RateLimit):
            raise InvalidRequestError(
                f"rate_limit must be a RateLimit, not {type(rate_limit).__name__}"
            )
        return cls(
            urls=_choose_urls(settings, api_urls),
            concurrency=_check_concurrency(concurrency),
            model=settings.model or ENVIRONMENT.model,
            rate_limit=rate_limit,
            ordered=ordered,
            stream=stream,
            retry=settings.retry,
            patience=_check_patience(patience),
        )


def make_request(
    row: Any, make: Callable[[Any], Any] | None, settings: Settings
) -> Mapping[str, Any] | HfgenError:
    """Return the normalised request of a row, or the error for which it has none.

    Args:
        row: The row.
        make: The caller's `request=`, which makes a request of a row; None if the row is one.
        settings: The options of the run, with the model and parameters of rows that have none.
    """
    try:
        return complete_request(row if make is None else make(row), settings)
    except HfgenError as error:
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001 - `make` is the caller's, and may raise anything
        failure = InvalidRequestError(
            f"no request can be made of the row: {type(error).__name__}: {error}"
        )
        failure.__cause__ = error.with_traceback(None)
        return failure


def check_rows(rows: Any, *kinds: type) -> Any:
    """Return the rows if they are an iterable of rows.

    Args:
        rows: The rows.
        kinds: Other types that are accepted.

    Raises:
        InvalidRequestError: They are not, or they look like one single row.
    """
    if isinstance(rows, str | bytes | Mapping):
        raise InvalidRequestError(
            f"rows must be an iterable of rows, not a {type(rows).__name__}; "
            "for a single request use `run`"
        )
    for method, call in _FRAMES.items():
        if hasattr(rows, method):
            raise InvalidRequestError(
                f"a {type(rows).__name__} does not iterate over its rows: pass rows.{call}"
            )
    if not isinstance(rows, (Iterable, *kinds)):
        raise InvalidRequestError(f"rows must be an iterable of rows, not {type(rows).__name__}")
    return rows


def closed_error() -> StreamClosedError:
    """Return the error for a result that is asked for after the results were closed."""
    return StreamClosedError("the results were closed before their end")


def _choose_urls(settings: Settings, api_urls: Sequence[str] | None) -> tuple[str, ...]:
    if api_urls is None:
        # The name of a provider stands for its URL, which depends on the model of the row.
        return (settings.provider or find_base_url(settings, ENVIRONMENT)[0],)
    if isinstance(api_urls, str) or not isinstance(api_urls, Sequence):
        raise InvalidRequestError(
            f"api_urls must be a list of URLs, not {type(api_urls).__name__}; "
            "for a single server use api_url"
        )
    for url in api_urls:
        check_url(url, "api_urls")
    if len(set(api_urls)) < len(api_urls) or not api_urls:
        raise InvalidRequestError(
            f"api_urls must have at least one URL, and none of them twice, not {api_urls!r}"
        )
    return tuple(api_urls)


def _check_concurrency(value: Any) -> tuple[int, int]:
    pair = value if isinstance(value, tuple) else (value, value)
    are_counts = all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in pair)
    if len(pair) != _PAIR or not are_counts or pair[0] > pair[1]:
        raise InvalidRequestError(
            "concurrency must be a whole number from 1 on, or a pair of the least and the most "
            f"requests at once, as (1, 64), not {value!r}"
        )
    return pair


def _check_patience(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InvalidRequestError(f"patience must be a number of seconds from 0, not {value!r}")
    return value
