"""The run: takes results from the engine, and writes and counts them in batches.

`BulkRun.run` is the loop; `collect_batches` groups results while a batch is written. The first
stop signal drains the run, the second one ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from hfgen._cli.bulk.tally import View
from hfgen._cli.terminal import ignore_closed_stderr
from hfgen._core.url import redact_url
from hfgen._io.stop_signals import EXIT_INTERRUPTED, handle_stop_signals

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable

    from hfgen._bulk.results import BulkResult, BulkStatistics
    from hfgen._cli.bulk.progress import Progress
    from hfgen._cli.bulk.report.recorder import Recorder
    from hfgen._cli.bulk.tally import Tally
    from hfgen._core.errors import HfgenError
    from hfgen._files.row import Row

# Seconds between two updates of the progress display.
_TICK = 0.5
INTERRUPTED = "interrupted"

T = TypeVar("T")


class Results(Protocol):
    """What a run needs of its engine: a part of `AsyncBulk`, which `RayResults` has, too."""

    @property
    def statistics(self) -> BulkStatistics:
        """Counts of the engine, which change while it runs."""

    def drain(self) -> None:
        """Begin no further rows; the results of those under way still come."""

    def __aiter__(self) -> AsyncIterator[BulkResult[Row]]: ...


@dataclass(slots=True, kw_only=True)
class BulkRun:
    """One run over the rows that are not finished yet.

    Attributes:
        commit: Writes results, and returns when they are on the disk; called in a thread.
        tally: Counts the rows that are on the disk.
        progress: Shows the state of the run.
        on_second_signal: Called at the second stop signal, before the process ends.
        recorder: Records the run for a report, None for no report.
        max_errors: The run stops when more rows than this have an error, None for no limit.
        stop_reason: Why the run was stopped before its end; empty if it was not.
        retries: How many attempts were retries.
        seconds: How long the run has taken.
        last_error: The message of the last error that led to a retry.
    """

    commit: Callable[[list[BulkResult[Row]]], object]
    tally: Tally
    progress: Progress
    on_second_signal: Callable[[], object]
    recorder: Recorder | None = None
    max_errors: int | None = None
    stop_reason: str = ""
    retries: int = 0
    seconds: float = 0.0
    last_error: str = ""

    async def run(self, results: Results) -> None:
        """Commit the results until there are no more, or the run is stopped.

        Args:
            results: The results of the engine.

        Raises:
            HfgenError: No server can be reached, or none accepts the key; the results cannot be
                written; the rows cannot be read.
        """
        started = time.monotonic()
        loop = asyncio.get_running_loop()

        def drain() -> None:
            running = results.statistics.in_flight
            self._stop(results, INTERRUPTED)
            self._print_line(
                f"stopping when the requests in flight ({running}) have ended; "
                "Ctrl-C again stops at once"
            )

        def end_process() -> None:
            try:
                self.on_second_signal()
            finally:
                os._exit(EXIT_INTERRUPTED)

        async def show_regularly() -> None:
            while True:
                self._show(results.statistics, time.monotonic() - started)
                await asyncio.sleep(_TICK)

        with handle_stop_signals(
            "SIGINT",
            "SIGTERM",
            "SIGHUP",
            stop=lambda: loop.call_soon_threadsafe(drain),
            stop_at_once=end_process,
        ):
            display_task = asyncio.create_task(show_regularly())
            try:
                async with contextlib.aclosing(
                    collect_batches(self._stop_at_max_errors(results))
                ) as batches:
                    async for batch in batches:
                        await asyncio.to_thread(self.commit, batch)
                        self._count(batch, time.monotonic() - started)
            finally:
                self.seconds = time.monotonic() - started
                display_task.cancel()
                self._show(results.statistics, self.seconds)

    def note_retry(self, _attempt: int, _wait: float, error: HfgenError) -> None:
        """Remember the error of an attempt that is retried; pass this as `on_retry`."""
        self.last_error = " ".join(error.message.split())

    async def _stop_at_max_errors(self, results: Results) -> AsyncIterator[BulkResult[Row]]:
        failed = 0
        async for result in results:
            failed += result.error is not None
            if self.max_errors is not None and failed > self.max_errors:
                self._stop(results, f"stopped: more than {self.max_errors} rows have an error")
            yield result

    def _count(self, batch: list[BulkResult[Row]], seconds: float) -> None:
        self.tally.add(batch)
        if self.recorder is not None:
            for result in batch:
                self.recorder.add(result, seconds)

    def _stop(self, results: Results, reason: str) -> None:
        if not self.stop_reason:
            self.stop_reason = reason
            results.drain()

    def _show(self, statistics: BulkStatistics, seconds: float) -> None:
        self.retries = statistics.retries
        limit = statistics.concurrency
        if self.recorder is not None:
            self.recorder.sample(
                seconds, in_flight=statistics.in_flight, limit=limit, retries=statistics.retries
            )
        rows, tokens = self.tally.measure_speed(seconds)
        view = View(
            done=self.tally.done,
            total=self.tally.total,
            rows_per_second=rows,
            tokens_per_second=tokens,
            in_flight=statistics.in_flight,
            limit=limit,
            retries=statistics.retries,
            errors=self.tally.all_errors,
            seconds_left=self.tally.estimate_seconds_left(rows),
            paused_servers=tuple(
                _format_server(server.url) for server in statistics.servers if server.rests
            ),
            last_error=self.last_error,
            is_stopping=bool(self.stop_reason),
        )
        # The run goes on after its terminal is closed.
        with ignore_closed_stderr():
            self.progress.show(view, seconds)

    def _print_line(self, text: str) -> None:
        with ignore_closed_stderr():
            self.progress.print_line(text)


def _format_server(url: str) -> str:
    # Providers behind the router have a name in place of a URL.
    return redact_url(url) if "://" in url else url


async def collect_batches(
    items: AsyncIterable[T], *, size: int = 256, seconds: float = 0.25
) -> AsyncGenerator[list[T]]:
    """Yield the items in batches, and collect further items while the caller handles a batch.

    A batch is yielded when it has `size` items, when its first item has waited for `seconds`, or
    when there are no more items. If the caller is slow, batches grow to twice the size; then no
    item is taken until the next batch is.

    Args:
        items: The items.
        size: The number of items in a batch, as a rule.
        seconds: How long an item waits for others.
    """
    pending: list[T] = []
    is_ready, has_room = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def collect() -> None:
        timer: asyncio.TimerHandle | None = None
        try:
            async for item in items:
                pending.append(item)
                if len(pending) == 1:
                    if timer is not None:
                        timer.cancel()
                    timer = loop.call_later(seconds, is_ready.set)
                if len(pending) >= size:
                    is_ready.set()
                while len(pending) >= 2 * size:
                    has_room.clear()
                    await has_room.wait()
        finally:
            if timer is not None:
                timer.cancel()
            is_ready.set()

    collector = asyncio.create_task(collect())
    try:
        while not collector.done() or pending:
            await is_ready.wait()
            is_ready.clear()
            batch = pending.copy()
            pending.clear()
            has_room.set()
            if batch:
                yield batch
        await collector
    finally:
        collector.cancel()
        # Its error was raised by `await collector`, or another error is being raised already.
        await asyncio.gather(collector, return_exceptions=True)
