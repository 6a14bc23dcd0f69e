"""The run itself: results from the engine to the disk, and only then counted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hfgen._cli.bulk.batches import batches
from hfgen._cli.bulk.stopping import stopping
from hfgen._cli.bulk.tally import View
from hfgen._cli.terminal import heard_or_not
from hfgen._core.url import display

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hfgen._bulk.results import BulkResult, BulkStatistics
    from hfgen._cli.bulk.progress import Progress
    from hfgen._cli.bulk.report.recorder import Recorder
    from hfgen._cli.bulk.tally import Tally
    from hfgen._core.errors import HfgenError
    from hfgen._files.row import Row

# Seconds between two looks at how it goes.
_TICK = 0.5
INTERRUPTED = "interrupted"


class Results(Protocol):
    """What there is of an `AsyncBulk` for a run that has an engine of another kind."""

    @property
    def statistics(self) -> BulkStatistics:
        """What has been."""

    def drain(self) -> None:
        """Begin nothing further; what is under way ends, and is handed out."""

    def __aiter__(self) -> AsyncIterator[BulkResult[Row]]: ...


@dataclass(slots=True, kw_only=True)
class Running:
    """A run.

    Attributes:
        keep: Puts results on the disk, and returns when they are there; called in a thread.
        tally: What is on the disk.
        progress: Where it is shown.
        at_once: Called when it is told to stop a second time, before the process ends.
        recorder: Takes note of it for a report, None if there is to be none.
        max_errors: How many rows may end in an error before it is stopped, None for any number.
        stopped: Why it was stopped before its end; empty if it was not.
        retries: How many attempts have been made again.
        seconds: How long it has taken.
        trouble: Why the last attempt failed that was made again.
    """

    keep: Callable[[list[BulkResult[Row]]], object]
    tally: Tally
    progress: Progress
    at_once: Callable[[], object]
    recorder: Recorder | None = None
    max_errors: int | None = None
    stopped: str = ""
    retries: int = 0
    seconds: float = 0.0
    trouble: str = ""

    async def go(self, results: Results) -> None:
        """Run all of it, or until it is stopped.

        Args:
            results: The results, as they come.

        Raises:
            HfgenError: No server is there, or takes the key; the results cannot be written; the
                rows cannot be read.
        """
        started = time.monotonic()
        loop = asyncio.get_running_loop()

        def interrupted() -> None:
            running = results.statistics.in_flight
            self._stop(results, INTERRUPTED)
            self._say(f"stopping when what runs ({running}) has ended; Ctrl-C again: at once")

        async def watch() -> None:
            while True:
                self._look(results.statistics, time.monotonic() - started)
                await asyncio.sleep(_TICK)

        with stopping(lambda: loop.call_soon_threadsafe(interrupted), self.at_once):
            watching = asyncio.create_task(watch())
            try:
                async with contextlib.aclosing(batches(self._heeded(results))) as finished:
                    async for batch in finished:
                        await asyncio.to_thread(self.keep, batch)
                        self._count(batch, time.monotonic() - started)
            finally:
                self.seconds = time.monotonic() - started
                watching.cancel()
                self._look(results.statistics, self.seconds)

    def told(self, _attempt: int, _wait: float, error: HfgenError) -> None:
        """Take note of an attempt that failed; to be passed as `on_retry`."""
        self.trouble = " ".join(error.message.split())

    async def _heeded(self, results: Results) -> AsyncIterator[BulkResult[Row]]:
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

    def _stop(self, results: Results, why: str) -> None:
        if not self.stopped:
            self.stopped = why
            results.drain()

    def _look(self, now: BulkStatistics, seconds: float) -> None:
        self.retries = now.retries
        limit = now.concurrency
        if self.recorder is not None:
            self.recorder.sample(seconds, in_flight=now.in_flight, limit=limit, retries=now.retries)
        rows, tokens = self.tally.speed(seconds)
        view = View(
            done=self.tally.done,
            total=self.tally.total,
            rows_per_second=rows,
            tokens_per_second=tokens,
            in_flight=now.in_flight,
            limit=limit,
            retries=now.retries,
            errors=self.tally.all_errors,
            seconds_left=self.tally.seconds_left(rows),
            resting=tuple(_shown(server.url) for server in now.servers if server.rests),
            trouble=self.trouble,
            stopping=bool(self.stopped),
        )
        # A terminal that has gone is no reason to lose a night's work.
        with heard_or_not():
            self.progress.show(view, seconds)

    def _say(self, text: str) -> None:
        with heard_or_not():
            self.progress.say(text)


def _shown(url: str) -> str:
    # A provider behind the router is known by its name.
    return display(url) if "://" in url else url
