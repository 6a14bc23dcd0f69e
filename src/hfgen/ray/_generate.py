"""From a dataset to the dataset with texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray
from ray.data import ActorPoolStrategy

from hfgen._async.client import AsyncClient
from hfgen._bulk.plan import BulkPlan
from hfgen._core.errors import InvalidRequestError
from hfgen._files.prompt import Prompt
from hfgen._files.row import Row
from hfgen._io.credentials import ambient_key
from hfgen.ray._plan import Plan, calls_at_once, share_of_concurrency, share_of_rate
from hfgen.ray._worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Unpack

    from ray.data import Dataset

    from hfgen._bulk.rate_limit import RateLimit
    from hfgen._core.request import GenerateParameters, RequestLike
    from hfgen._options import RemoteOptions

ROWS_PER_BLOCK = 256
_CONCURRENCY_OF_A_WORKER = 256
_OF_ONE_PROCESS = ("fetch", "on_retry", "signal")
_HUGGING_FACE = "https://huggingface.co"


def generate(
    dataset: Dataset,
    *,
    model: str | None = None,
    api_url: str | Sequence[str] | None = None,
    template: str | None = None,
    parameters: GenerateParameters | Mapping[str, Any] | None = None,
    request: Callable[[dict[str, Any]], RequestLike] | None = None,
    workers: int | None = None,
    concurrency: int | tuple[int, int] | None = None,
    rate_limit: RateLimit | None = None,
    stream: bool = True,
    rows_per_block: int = ROWS_PER_BLOCK,
    num_cpus: float = 1.0,
    **options: Unpack[RemoteOptions],
) -> Dataset:
    """Generate a text for each row of a Ray dataset, on as many processes as there are workers.

    The rows come out with the columns `generated_text`, `finish_reason`, `generated_tokens` and
    `error` (a struct of `type`, `message`, `status` and `attempts`, null where there is a text); of
    these names, columns of the input are replaced. A row that fails is a row with an `error`. Like
    all of Ray Data this is lazy: nothing is asked before the dataset is consumed.

    A block comes out when all of its rows are done. If a worker is lost, Ray starts another, which
    asks for the rows of its unfinished blocks again: each row comes out once, but the server may
    have seen it twice.

    Args:
        dataset: The rows. The prompt is the column `inputs`, or else `prompt`; the column
            `parameters`, if there is one, goes over `parameters` row by row.
        model: Id of the model of rows that name none.
        api_url: The server; or several, of which each row goes to the one with the fewest requests
            under way. Default: as for `Client`, read from the environment of the caller.
        template: The prompt, with names of columns in braces: `"Translate: {text}"`.
        parameters: How to generate.
        request: Makes the request of a row, in place of `template` and `parameters`. What
            it raises is that row's error. It must be importable by the workers, or a function that
            cloudpickle can send.
        workers: How many processes, each an actor of Ray. Default: one a node of the cluster.
        concurrency: How many requests at once, over all workers: a number, or least and most, in
            between which each worker finds its share. Default: 1 to 256 a worker.
        rate_limit: What may be asked for in a minute, over all workers.
        stream: Whether to read answers as streams.
        rows_per_block: How many rows are given out, done, and done again after a loss, together.
            Their texts together should stay below 128 MiB, above which Ray Data cuts a block up.
        num_cpus: How many of a node's processors Ray sets aside for each worker.
        **options: See `RemoteOptions`; `HF_TOKEN` and its kin are read where this is called.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: A value cannot be used, or the limits are too low to be shared.
    """
    if request is None:
        request = _Columns(Prompt(template, parameters=parameters))
    elif (template, parameters) != (None, None):
        raise InvalidRequestError(
            "request makes the whole request: leave out template and parameters"
        )
    _check_count("rows_per_block", rows_per_block)
    workers = worker_count(workers)
    plan = make_plan(
        request,
        model=model,
        api_url=api_url,
        workers=workers,
        concurrency=concurrency,
        rate_limit=rate_limit,
        stream=stream,
        options=options,
    )
    calls = calls_at_once(plan, rows_per_block)
    # Strictly, because otherwise small blocks stay small, and a worker has too few rows.
    blocks = dataset.repartition(target_num_rows_per_block=rows_per_block, strict=True)
    return blocks.map_batches(
        Worker,
        fn_constructor_args=(plan,),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            size=workers,
            max_concurrent_calls_per_actor=calls,
            max_tasks_in_flight_per_actor=calls + 1,
            enable_true_multi_threading=True,
        ),
        num_cpus=num_cpus,
    )


class _Columns:
    """Makes requests of rows as Ray Data has them."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def __call__(self, columns: dict[str, Any]) -> dict[str, Any]:
        return self._prompt(Row(0, columns))


def worker_count(given: int | None) -> int:
    """Return how many workers there are to be: by default one a node of the cluster.

    Raises:
        InvalidRequestError: It is no whole number from 1 on.
    """
    if given is None:
        if not ray.is_initialized():
            ray.init()
        return sum(node["Alive"] for node in ray.nodes())
    _check_count("workers", given)
    return given


def make_plan(
    request: Callable[[Any], RequestLike],
    *,
    model: str | None,
    api_url: str | Sequence[str] | None,
    workers: int,
    concurrency: int | tuple[int, int] | None,
    rate_limit: RateLimit | None,
    stream: bool,
    options: Mapping[str, Any],
) -> Plan:
    """Return what each worker is told; see `generate`."""
    for name in _OF_ONE_PROCESS:
        if options.get(name) is not None:
            raise InvalidRequestError(f"{name} cannot be sent to other processes: leave it out")
    urls = [api_url] if isinstance(api_url, str) else api_url
    # Whatever is wrong is said here, and not by each worker.
    settings = AsyncClient(**options)._settings  # noqa: SLF001 - they are one package's
    whole = BulkPlan.from_arguments(
        settings,
        model=model,
        concurrency=(workers, _CONCURRENCY_OF_A_WORKER * workers)
        if concurrency is None
        else concurrency,
        rate_limit=rate_limit,
        api_urls=urls,
        ordered=False,
        stream=stream,
    )
    return Plan(
        request=request,
        model=model,
        concurrency=share_of_concurrency(whole.concurrency, workers),
        rate_limit=share_of_rate(rate_limit, workers),
        api_urls=None if settings.provider is not None else whole.urls,
        stream=stream,
        options=dict(options),
        ambient_key=ambient_key(_HUGGING_FACE),
    )


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequestError(f"{name} must be a whole number from 1 on, not {value!r}")
