"""`generate`: from a Ray dataset to the dataset with generated texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray
from ray.data import ActorPoolStrategy

from hfgen._async.client import AsyncClient
from hfgen._bulk.plan import BulkPlan
from hfgen._core.errors import InvalidRequestError
from hfgen._files.prompt import Prompt
from hfgen._files.row import Row
from hfgen._io.environment import ENVIRONMENT
from hfgen.ray._plan import (
    WorkerPlan,
    count_blocks_at_once,
    share_concurrency,
    share_rate_limit,
)
from hfgen.ray._worker import TableWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Unpack

    from ray.data import Dataset

    from hfgen._bulk.rate_limit import RateLimit
    from hfgen._core.request import AnyRequest, GenerateParameters
    from hfgen._options import RemoteOptions

ROWS_PER_BLOCK = 256
_MAX_CONCURRENCY_PER_WORKER = 256
# Options that hold objects of this process, which other processes cannot have.
_LOCAL_OPTIONS = ("fetch", "on_retry", "signal")
_HUGGING_FACE = "https://huggingface.co"


def generate(
    dataset: Dataset,
    *,
    model: str | None = None,
    api_url: str | Sequence[str] | None = None,
    template: str | None = None,
    parameters: GenerateParameters | Mapping[str, Any] | None = None,
    request: Callable[[dict[str, Any]], AnyRequest] | None = None,
    workers: int | None = None,
    concurrency: int | tuple[int, int] | None = None,
    rate_limit: RateLimit | None = None,
    stream: bool = True,
    patience: float = 600.0,
    rows_per_block: int = ROWS_PER_BLOCK,
    num_cpus: float = 1.0,
    **options: Unpack[RemoteOptions],
) -> Dataset:
    """Generate a text for each row of a Ray dataset, on several processes of the cluster.

    The dataset that is returned has the columns of the input and `generated_text`, `finish_reason`,
    `generated_tokens` and `error`, a struct of `type`, `message`, `status` and `attempts` that is
    null in rows with a text. Columns of the input with these names are replaced. A row that fails
    has an `error`; the other rows go on. Like all of Ray Data this is lazy: requests are sent when
    the dataset is consumed.

    Each worker takes blocks of rows, several at once, and returns a block when all of its rows are
    done. If a worker is lost, Ray starts another one, which repeats the rows of the unfinished
    blocks: each row comes out once, but the server may have answered it twice.

    Args:
        dataset: The rows. The prompt is the column `inputs`, or else `prompt`. A column
            `parameters`, if there is one, overrides `parameters` in its row.
        model: Id of the model of rows that name none.
        api_url: The URL of the server; or several, of which each row goes to the one with the
            fewest requests under way. Default: as for `Client`, read from the environment of the
            process that calls this.
        template: The prompt, with names of columns in braces: `"Translate: {text}"`.
        parameters: How to generate.
        request: A function that takes a row as a dict and returns its request, in place of
            `template` and `parameters`. What it raises becomes the `error` of that row. Workers
            must be able to import it, or cloudpickle to send it.
        workers: How many processes, each an actor of Ray. Default: one for each node of the
            cluster.
        concurrency: How many requests at once, of all workers together: a number, or a minimum and
            a maximum, between which each worker adapts its share. Default: 1 to 256 for each
            worker.
        rate_limit: How much may be asked for in a minute, of all workers together. Default: no
            limit.
        stream: Whether to read answers as streams. Default: True.
        patience: Seconds during which a row is tried again that servers refuse because of their
            load. Default: 600.
        rows_per_block: How many rows make a block. The texts of a block should stay below 128 MiB;
            Ray Data cuts larger blocks up. Default: 256.
        num_cpus: How many processors Ray reserves for each worker. Default: 1.
        **options: See `RemoteOptions`. `HF_TOKEN` and similar variables are read in the process
            that calls this.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: A value cannot be used, or a limit is too low to be divided among the
            workers.
    """
    if request is None:
        request = _PromptOfColumns(Prompt(template, parameters=parameters))
    elif (template, parameters) != (None, None):
        raise InvalidRequestError(
            "request makes the whole request: leave out template and parameters"
        )
    _check_count("rows_per_block", rows_per_block)
    workers = count_workers(workers)
    plan = make_plan(
        request,
        model=model,
        api_url=api_url,
        workers=workers,
        concurrency=concurrency,
        rate_limit=rate_limit,
        stream=stream,
        patience=patience,
        options=options,
    )
    blocks_at_once = count_blocks_at_once(plan, rows_per_block)
    # Without `strict`, Ray Data leaves small blocks small, and workers have too few rows.
    blocks = dataset.repartition(target_num_rows_per_block=rows_per_block, strict=True)
    return blocks.map_batches(
        TableWorker,
        fn_constructor_args=(plan,),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            size=workers,
            max_concurrent_calls_per_actor=blocks_at_once,
            max_tasks_in_flight_per_actor=blocks_at_once + 1,
            enable_true_multi_threading=True,
        ),
        num_cpus=num_cpus,
    )


class _PromptOfColumns:
    """Makes requests from rows as Ray Data has them: dicts of columns."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def __call__(self, columns: dict[str, Any]) -> dict[str, Any]:
        return self._prompt(Row(0, columns))


def count_workers(workers: int | None) -> int:
    """Return the number of workers: as given, or one for each node of the cluster.

    Args:
        workers: The option of that name; None for one worker on each node.

    Raises:
        InvalidRequestError: The number is not a whole number from 1 on.
    """
    if workers is None:
        if not ray.is_initialized():
            ray.init()
        return sum(node["Alive"] for node in ray.nodes())
    _check_count("workers", workers)
    return workers


def make_plan(
    request: Callable[[Any], AnyRequest],
    *,
    model: str | None,
    api_url: str | Sequence[str] | None,
    workers: int,
    concurrency: int | tuple[int, int] | None,
    rate_limit: RateLimit | None,
    stream: bool,
    patience: float,
    options: Mapping[str, Any],
) -> WorkerPlan:
    """Check the arguments of `generate`, and return the plan of each worker.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: A value cannot be used, or a limit is too low to be divided among the
            workers.
    """
    for name in _LOCAL_OPTIONS:
        if options.get(name) is not None:
            raise InvalidRequestError(f"{name} cannot be sent to other processes: leave it out")
    urls = [api_url] if isinstance(api_url, str) else api_url
    # Checks the options here, before any worker starts.
    settings = AsyncClient(model=model, **options)._session.settings  # noqa: SLF001 - they are one package's
    bulk_plan = BulkPlan.from_arguments(
        settings,
        concurrency=(workers, _MAX_CONCURRENCY_PER_WORKER * workers)
        if concurrency is None
        else concurrency,
        rate_limit=rate_limit,
        api_urls=urls,
        ordered=False,
        stream=stream,
        patience=patience,
    )
    return WorkerPlan(
        request=request,
        model=bulk_plan.model,
        concurrency=share_concurrency(bulk_plan.concurrency, workers),
        rate_limit=share_rate_limit(rate_limit, workers),
        api_urls=None if settings.provider is not None else bulk_plan.urls,
        stream=stream,
        patience=patience,
        options=dict(options),
        ambient_key=ENVIRONMENT.find_key(_HUGGING_FACE),
        own_key=ENVIRONMENT.own_key,
    )


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequestError(f"{name} must be a whole number from 1 on, not {value!r}")
