"""One measurement of one client, in a process of its own.

    python -m benchmarks.worker '{"module": "floor", "scenario": {...}, "address": "http://..."}'

It writes the measurement to standard output, as JSON. Nothing is imported here but the standard
library: the environments of the peers have nothing else in common.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import resource
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

from benchmarks.scenarios import Scenario
from benchmarks.wire import PROMPT, WARM_UP

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Meter:
    """The CPU time of this process, its wall time and its memory, around the measured part."""

    cpu: float = 0.0
    wall: float = 0.0
    counts: list[list[int]] = field(default_factory=list)

    def __enter__(self) -> Self:
        gc.collect()
        self.cpu, self.wall = -_read_cpu_seconds(), -time.monotonic()
        mark_for_callgrind()
        return self

    def __exit__(self, *_: object) -> None:
        mark_for_callgrind()
        self.cpu += _read_cpu_seconds()
        self.wall += time.monotonic()

    def make_counter(self) -> Callable[[str], object]:
        """Return a function that counts the tokens of one stream."""
        # Each stream has its own list, because threads must not share a counter.
        count = [0]
        self.counts.append(count)

        def on_token(_: str) -> None:
            count[0] += 1

        return on_token

    @property
    def tokens(self) -> int:
        """How many tokens have come."""
        return sum(count[0] for count in self.counts)


def mark_for_callgrind() -> None:
    """Begin or end what is measured, for callgrind: it writes a count when `getppid` is called.

    Without callgrind this has no effect. Nothing else here calls `getppid`.
    """
    os.getppid()


def _read_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _read_resident_memory() -> int:
    """Return the KiB of memory that this process holds now."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no path about it
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def measure_sync(client: Any, scenario: Scenario) -> tuple[float, Meter]:
    """Return the figure of the scenario for a client's sync side, and the meter."""
    client.stream(WARM_UP, str)
    meter = Meter()
    if scenario.task == "first":
        with meter:
            durations = [_time_first_token(client) for _ in range(scenario.calls)]
        return statistics.median(durations) * 1e6, meter
    if scenario.task == "run":
        client.run(WARM_UP)
        with ThreadPoolExecutor(scenario.streams) as pool, meter:
            list(pool.map(client.run, [PROMPT] * scenario.calls))
        return meter.cpu / scenario.calls * 1e6, meter
    if scenario.streams == 1:
        with meter:
            client.stream(PROMPT, meter.make_counter())
    else:
        threads = [
            threading.Thread(target=client.stream, args=(PROMPT, meter.make_counter()))
            for _ in range(scenario.streams)
        ]
        with meter:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    return meter.cpu / meter.tokens * 1e6, meter


def _time_first_token(client: Any) -> float:
    times: list[float] = []
    started_at = time.perf_counter()
    client.stream(PROMPT, lambda _: times.append(time.perf_counter()))
    return times[0] - started_at


async def measure_async(client: Any, scenario: Scenario) -> tuple[float, Meter]:
    """Return the figure of the scenario for a client's async side, and the meter."""
    await client.stream(WARM_UP, str)
    meter = Meter()
    if scenario.task == "idle":
        return await _measure_idle_memory(client, scenario), meter
    if scenario.task == "first":
        with meter:
            durations = [await _time_first_token_async(client) for _ in range(scenario.calls)]
        return statistics.median(durations) * 1e6, meter
    if scenario.task == "run":
        await client.run(WARM_UP)
        calls = iter(range(scenario.calls))

        async def work() -> None:
            for _ in calls:
                await client.run(PROMPT)

        with meter:
            await asyncio.gather(*(work() for _ in range(scenario.streams)))
        return meter.cpu / scenario.calls * 1e6, meter
    if scenario.task == "many":
        await client.run(WARM_UP)
        prompts = [PROMPT] * scenario.calls
        with meter:
            if hasattr(client, "many"):
                texts = await client.many(prompts)
            else:
                # As people write it for a list of prompts.
                texts = await asyncio.gather(*map(client.run, prompts))
        if len(texts) != scenario.calls:
            raise SystemExit(f"{len(texts)} texts came, not {scenario.calls}")
        return meter.cpu / scenario.calls * 1e6, meter
    with meter:
        await asyncio.gather(
            *(client.stream(PROMPT, meter.make_counter()) for _ in range(scenario.streams))
        )
    return meter.cpu / meter.tokens * 1e6, meter


async def _time_first_token_async(client: Any) -> float:
    times: list[float] = []
    started_at = time.perf_counter()
    await client.stream(PROMPT, lambda _: times.append(time.perf_counter()))
    return times[0] - started_at


async def _measure_idle_memory(client: Any, scenario: Scenario) -> float:
    """Return the KiB of memory per stream while all streams wait for their second token."""
    open_streams, all_open = 0, asyncio.Event()

    def on_token(_: str) -> None:
        nonlocal open_streams
        open_streams += 1
        if open_streams == scenario.streams:
            all_open.set()

    before = _read_resident_memory()
    tasks = [asyncio.create_task(client.stream(PROMPT, on_token)) for _ in range(scenario.streams)]
    await asyncio.wait_for(all_open.wait(), 60)
    growth = _read_resident_memory() - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return growth / scenario.streams


def main() -> None:
    """Measure what the command line says."""
    arguments = json.loads(sys.argv[1])
    scenario = Scenario(**arguments["scenario"])
    module = importlib.import_module(f"benchmarks.clients.{arguments['module']}")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    figure, meter = measure(module, arguments, arguments["address"], scenario)
    expected = scenario.streams * scenario.tokens
    is_uncounted = arguments["variant"] == "stream_bytes"
    if scenario.task == "stream" and not is_uncounted and meter.tokens != expected:
        raise SystemExit(f"{meter.tokens} tokens came, not {expected}")
    if is_uncounted:
        figure = meter.cpu / expected * 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    measurement = {
        "figure": figure,
        "wall": meter.wall,
        "peak": peak,
        "package": module.PACKAGE,
        "version": version(module.PACKAGE),
    }
    print(json.dumps(measurement), flush=True)
    # Without closing what the client left open: that is not measured.
    os._exit(0)


def measure(
    module: Any, arguments: dict[str, Any], address: str, scenario: Scenario
) -> tuple[float, Meter]:
    """Return the figure of the scenario for a new client of the module, and the meter.

    Args:
        module: One of `benchmarks.clients`.
        arguments: Of them, `variant` and `loop`.
        address: The server's.
        scenario: What the client does.
    """
    variant = [arguments["variant"]] if arguments["variant"] else []
    if scenario.kind == "sync":
        with module.Sync(address, *variant) as client:
            return measure_sync(client, scenario)

    async def run() -> tuple[float, Meter]:
        async with module.Async(address, *variant) as client:
            return await measure_async(client, scenario)

    is_uvloop = arguments["loop"] == "uvloop"
    factory = importlib.import_module("uvloop").new_event_loop if is_uvloop else None
    with contextlib.closing(asyncio.Runner(loop_factory=factory)) as runner:
        return runner.run(run())


if __name__ == "__main__":
    main()
