"""The run: takes results from the engine, writes them in batches, counts what is on the disk.

`BulkRun.run` is the loop; `collect_batches` groups results while a batch is written;
`handle_stop_signals` drains the run at the first signal and ends the process at the second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from hfgen._cli.bulk.tally import View
from hfgen._cli.terminal import ignore_closed_stderr
from hfgen._core.url import redact_url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
    from types import FrameType

    from hfgen._bulk.results import BulkResult, BulkStatistics
    from hfgen._cli.bulk.progress import Progress
    from hfgen._cli.bulk.report.recorder import Recorder
    from hfgen._cli.bulk.tally import Tally
    from hfgen._core.errors import HfgenError
    from hfgen._files.row import Row

# Seconds between two updates of the progress display.
_TICK = 0.5
INTERRUPTED = "interrupted"
# 128 and the number of SIGINT, as a shell reports a command that Ctrl-C ended.
EXIT_INTERRUPTED = 130
_HANGUP = getattr(signal, "SIGHUP", None)
_SIGNALS = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, _HANGUP)))

T = TypeVar("T")


class Results(Protocol):
    """What there is of an `AsyncBulk` for a run that has an engine of another kind."""

    @property
    def statistics(self) -> BulkStatistics:
        """What has been."""

    def drain(self) -> None:
        """Begin nothing further; what is under way ends, and is handed out."""

    def __aiter__(self) -> AsyncIterator[BulkResult[Row]]: ...


@dataclass(slots=True, kw_only=True)
class BulkRun:
    """A run.

    Attributes:
        commit: Puts results on the disk, and returns when they are there; called in a thread.
        tally: What is on the disk.
        progress: Shows how far the run has come.
        on_abandon: Called at the second stop signal, before the process ends.
        recorder: Takes note of it for a report, None if there is to be none.
        max_errors: How many rows may end in an error before it is stopped, None for any number.
        stopped: Why it was stopped before its end; empty if it was not.
        retries: How many attempts have been made again.
        seconds: How long it has taken.
        trouble: Why the last attempt failed that was made again.
    """

    commit: Callable[[list[BulkResult[Row]]], object]
    tally: Tally
    progress: Progress
    on_abandon: Callable[[], object]
    recorder: Recorder | None = None
    max_errors: int | None = None
    stopped: str = ""
    retries: int = 0
    seconds: float = 0.0
    trouble: str = ""

    async def run(self, results: Results) -> None:
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
            self._print(f"stopping when what runs ({running}) has ended; Ctrl-C again: at once")

        async def watch() -> None:
            while True:
                self._show(results.statistics, time.monotonic() - started)
                await asyncio.sleep(_TICK)

        with handle_stop_signals(lambda: loop.call_soon_threadsafe(interrupted), self.on_abandon):
            watching = asyncio.create_task(watch())
            try:
                async with contextlib.aclosing(
                    collect_batches(self._stop_at_max_errors(results))
                ) as finished:
                    async for batch in finished:
                        await asyncio.to_thread(self.commit, batch)
                        self._count(batch, time.monotonic() - started)
            finally:
                self.seconds = time.monotonic() - started
                watching.cancel()
                self._show(results.statistics, self.seconds)

    def note_retry(self, _attempt: int, _wait: float, error: HfgenError) -> None:
        """Take note of an attempt that failed; to be passed as `on_retry`."""
        self.trouble = " ".join(error.message.split())

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
        if not self.stopped:
            self.stopped = reason
            results.drain()

    def _show(self, now: BulkStatistics, seconds: float) -> None:
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
        # The run goes on when its terminal is closed.
        with ignore_closed_stderr():
            self.progress.show(view, seconds)

    def _print(self, text: str) -> None:
        with ignore_closed_stderr():
            self.progress.say(text)


def _shown(url: str) -> str:
    # A provider behind the router is known by its name.
    return redact_url(url) if "://" in url else url


async def collect_batches(
    items: AsyncIterable[T], *, size: int = 256, seconds: float = 0.25
) -> AsyncGenerator[list[T]]:
    """Give what comes, in batches; the items go on coming while a batch is dealt with.

    A batch is given out when it has `size` items, when its first one is `seconds` old, or when
    there are no more. Whoever takes long over one gets larger ones, up to twice the size; then the
    items have to wait.

    Args:
        items: What is to come in batches.
        size: How many items are worth a batch.
        seconds: How long an item waits for others.
    """
    pending: list[T] = []
    ready, taken = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def collect() -> None:
        timer: asyncio.TimerHandle | None = None
        try:
            async for item in items:
                pending.append(item)
                if len(pending) == 1:
                    if timer is not None:
                        timer.cancel()
                    timer = loop.call_later(seconds, ready.set)
                if len(pending) >= size:
                    ready.set()
                while len(pending) >= 2 * size:
                    taken.clear()
                    await taken.wait()
        finally:
            if timer is not None:
                timer.cancel()
            ready.set()

    collector = asyncio.create_task(collect())
    try:
        while not collector.done() or pending:
            await ready.wait()
            ready.clear()
            batch = pending.copy()
            pending.clear()
            taken.set()
            if batch:
                yield batch
        await collector
    finally:
        collector.cancel()
        # What it ends with has been raised above, or matters less than what is being raised.
        await asyncio.gather(collector, return_exceptions=True)


@contextlib.contextmanager
def handle_stop_signals(first: Callable[[], object], last: Callable[[], object]) -> Iterator[None]:
    """Heed SIGINT, SIGTERM and SIGHUP inside of the context; the second one ends the process.

    What was ignored stays so (`nohup`).

    Args:
        first: Called at the first signal, between any two steps of the main thread: it must do no
            more than pass it on.
        last: Called at the second one, before the end.
    """
    seen = 0

    def told(number: int, _: FrameType | None) -> None:
        nonlocal seen
        if number == _HANGUP and seen:
            # A closed terminal sends SIGHUP twice: through the shell, and from the system.
            return
        seen += 1
        try:
            first() if seen == 1 else last()
        finally:
            # Exits even if `last` fails.
            if seen > 1:
                os._exit(EXIT_INTERRUPTED)

    before = {
        number: signal.signal(number, told)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
