"""One measurement of a server with the bundled model, from a process of its own.

    python -m benchmarks.server_worker '{"address": "http://...", "pid": 17, ...}'

hfgen on uvloop asks every server alike, at `/v1/completions`, which all of them have. The CPU time
and the memory are those of the server's process, as the kernel counts them.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

import hfgen
from benchmarks.scenarios import Scenario
from benchmarks.wire import STORIES


class StoryClient:
    """Asks for stories.

    Attributes:
        first: The seconds to the first token of each.
    """

    def __init__(self, client: hfgen.AsyncClient) -> None:
        self._client = client
        self.first: list[float] = []

    async def ask(self, scenario: Scenario) -> None:
        """Ask for all stories of a scenario, `scenario.streams` at once."""
        calls = iter(range(scenario.calls))

        async def work() -> None:
            for number in calls:
                await self._read_story(STORIES[number % len(STORIES)], scenario.tokens)

        await asyncio.gather(*(work() for _ in range(scenario.streams)))

    async def _read_story(self, prompt: str, tokens: int) -> None:
        started_at = time.perf_counter()
        first = 0.0
        request = {"inputs": prompt, "parameters": {"max_new_tokens": tokens}}
        async for chunk in await self._client.stream(request):
            first = first or time.perf_counter() - started_at
            details = chunk.details
        if details is None or details.generated_tokens != tokens:
            raise SystemExit(f"not {tokens} tokens: {details}")
        self.first.append(first)


async def measure_server(arguments: dict[str, Any], scenario: Scenario) -> dict[str, float]:
    """Return the measurements."""
    process = Path("/proc", str(arguments["pid"]))
    options = {"api_url": arguments["address"], "dialect": "completions", "max_retries": 0}
    async with hfgen.AsyncClient(**options) as client:
        # Warm up with as many requests at once as the measurement has.
        await StoryClient(client).ask(replace(scenario, calls=scenario.streams, tokens=8))
        story_client = StoryClient(client)
        cpu, wall = -_read_cpu_seconds(process), -time.monotonic()
        await story_client.ask(scenario)
        cpu, wall = cpu + _read_cpu_seconds(process), wall + time.monotonic()
    tokens = scenario.calls * scenario.tokens
    return {
        "figure": cpu / tokens * 1e6,
        "wall": wall,
        "speed": tokens / wall,
        "first": statistics.median(story_client.first) * 1000,
        "peak": _read_peak_memory(process),
    }


def _read_cpu_seconds(process: Path) -> float:
    """Return the seconds of CPU time of all threads that a process has or had."""
    # After the name, which may contain anything, fields 12 and 13 are user and system ticks.
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read_peak_memory(process: Path) -> float:
    """Return the MiB of memory that a process has had at most."""
    for line in (process / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) / 1024
    return 0.0


def _read_version(arguments: dict[str, Any]) -> str:
    """Return the version of the server's package, which is in another environment."""
    code = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"
    command = [arguments["python"], "-c", code, arguments["package"]]
    return subprocess.check_output(command, text=True).strip()  # noqa: S603 - ours


def main() -> None:
    """Measure what the command line says."""
    arguments = json.loads(sys.argv[1])
    measurement = uvloop.run(measure_server(arguments, Scenario(**arguments["scenario"])))
    print(
        json.dumps(
            {**measurement, "package": arguments["package"], "version": _read_version(arguments)}
        )
    )


if __name__ == "__main__":
    main()
