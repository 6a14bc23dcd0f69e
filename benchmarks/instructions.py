"""Counts the processor instructions of a token, a stream and a call, with valgrind's callgrind.

    python -m benchmarks.instructions                      # hfgen, the floor, and by hand
    python -m benchmarks.instructions hfgen openai

Callgrind counts the instructions of the client's process outside the kernel. The counts do not
depend on the processor or on what else the machine does, so they show differences of 1 % where
times vary by 10 %. They are no times: a process that sleeps between tokens also waits for memory.

One process does every workload twice, with few repetitions and with many. The difference of the two
counts leaves out what happens once. Callgrind writes a count to a file at each mark of the meter
(`worker.Meter`), so the start of the process, slow under valgrind, happens once for each client.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.roster import CLIENTS, ROOT, Client
from benchmarks.runner import Figures, Results
from benchmarks.scenarios import Scenario
from benchmarks.servers import ENVIRONMENT, Servers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Side = Literal["sync", "async"]

# Seconds for all the workloads of one client: under valgrind it takes fifty times as long.
TIMEOUT = 300
BY_HAND = {"sync": "http.client, by hand", "async": "aiohttp, by hand"}
DEFAULT_CLIENTS = ("floor", "hfgen", *BY_HAND.values())


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Something whose instructions are counted, at two lengths.

    Attributes:
        name: Its name in the results and in the goals.
        title: What one repetition is.
        few: The repetitions of the shorter run.
        many: The repetitions of the longer run.
        scenario: Makes the scenario with a number of repetitions.
    """

    name: str
    title: str
    few: int
    many: int
    scenario: Callable[[int], Scenario]


def make_workloads(side: Side) -> tuple[Workload, ...]:
    """Return the workloads of the sync or of the async side."""

    def make_tokens(count: int) -> Scenario:
        # The pace is slow enough that each token is read by itself, even under valgrind.
        return Scenario(name="token", title="", kind=side, tokens=count, rate=100)

    def make_streams(count: int) -> Scenario:
        return Scenario(name="first", title="", kind=side, task="first", calls=count)

    def make_calls(count: int) -> Scenario:
        return Scenario(name="run", title="", kind=side, task="run", calls=count)

    return (
        Workload(
            name=f"token-{side}",
            title=f"{side}, a token that comes by itself",
            few=50,
            many=150,
            scenario=make_tokens,
        ),
        Workload(
            name=f"stream-{side}",
            title=f"{side}, a stream of one token",
            few=20,
            many=80,
            scenario=make_streams,
        ),
        Workload(
            name=f"run-{side}",
            title=f"{side}, a call of `run`",
            few=20,
            many=80,
            scenario=make_calls,
        ),
    )


def has_valgrind() -> bool:
    """Return whether valgrind is installed."""
    return shutil.which("valgrind") is not None


def is_countable(client: Client, side: Side) -> bool:
    """Return whether the client is a Python client that has this side."""
    return bool(client.module) and side in client.kinds and client.environment != "node"


def count_all(clients: Sequence[Client], report: Callable[[str], object]) -> Results:
    """Return the instructions of one repetition, by workload and client; report each in a line.

    Args:
        clients: The clients, all of them installed.
        report: Gets each line as soon as its client has been counted.
    """
    results: Results = {}
    sides: tuple[Side, ...] = ("sync", "async")
    with Servers() as servers:
        for side in sides:
            workloads = make_workloads(side)
            for client in clients:
                if not is_countable(client, side):
                    continue
                counts = count_instructions(client, workloads, servers)
                for workload, count in zip(workloads, counts, strict=True):
                    by_client = results.setdefault(workload.name, {})
                    by_client[client.name] = Figures(figure=[count])
                    report(f"  {workload.title:38}{client.name:28}{count:12,.0f} instructions")
    return results


def count_instructions(
    client: Client, workloads: Sequence[Workload], servers: Servers
) -> list[float]:
    """Return the instructions of one repetition of each workload.

    Raises:
        SystemExit: Callgrind did not count; the text has what it wrote instead.
    """
    parts = []
    for workload in workloads:
        # The first run warms up: it may write bytecode, and the interpreter adapts to it.
        for repetitions in (workload.few, workload.few, workload.many):
            scenario = workload.scenario(repetitions)
            parts.append({**servers.locate(client, scenario), "scenario": asdict(scenario)})
    totals = _run_under_callgrind(client, parts)
    counts = []
    for number, workload in enumerate(workloads):
        _, shorter, longer = totals[3 * number : 3 * number + 3]
        counts.append((longer - shorter) / (workload.many - workload.few))
    return counts


def _run_under_callgrind(client: Client, parts: Sequence[object]) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "callgrind")
        command = [
            *("valgrind", "--tool=callgrind", "--dump-before=getppid"),
            *(f"--callgrind-out-file={output}", str(client.python)),
            *(
                "-m",
                "benchmarks.instructions_worker",
                json.dumps({**client.arguments, "parts": parts}),
            ),
        ]
        process = subprocess.run(  # noqa: S603 - the suite's own command
            command,
            cwd=ROOT,
            env=os.environ | ENVIRONMENT | {"PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        totals = read_totals(Path(folder))
    if process.returncode or len(totals) != len(parts):
        raise SystemExit(f"callgrind did not count {client.name}: {process.stderr[-500:]}")
    return totals


def read_totals(folder: Path) -> list[int]:
    """Return the instructions inside each use of the meter, from callgrind's dumps in a folder.

    Each use of the meter has a mark at its begin and one at its end. The dump at a mark counts the
    instructions since the mark before, so every second dump is of what was measured.
    """
    totals = {}
    for dump in folder.glob("callgrind.*"):
        if match := re.search(r"^totals: (\d+)", dump.read_text(), re.MULTILINE):
            totals[int(dump.suffix[1:])] = int(match[1])
    return [totals[number] for number in sorted(totals) if number % 2 == 0]


def main() -> None:
    """Count the clients that the command line names."""
    installed = {client.name: client for client in CLIENTS if client.module and client.is_installed}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("clients", nargs="*", metavar="NAME", help=f"of: {', '.join(installed)}")
    names = parser.parse_args().clients or [name for name in DEFAULT_CLIENTS if name in installed]
    if unknown := set(names) - installed.keys():
        parser.error(f"no such client here: {', '.join(sorted(unknown))}")
    if not has_valgrind():
        parser.error("valgrind is not installed")
    count_all([installed[name] for name in names], print)


if __name__ == "__main__":
    main()
