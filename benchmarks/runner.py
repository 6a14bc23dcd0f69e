"""Runs clients against the server, in turns, and gathers their figures."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from statistics import median, stdev
from typing import TYPE_CHECKING
from urllib.request import urlopen

from benchmarks.roster import NODE, ROOT, Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.scenarios import Scenario

# Seconds for one measurement, far more than any takes.
PATIENCE = 120
# Nothing of the machine's own: a proxy, a key, a cache that is not there.
ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "0",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_PROXY": "127.0.0.1",
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPATH": "",
}


@dataclass
class Figures:
    """What came of one client in one scenario, a value a round.

    Attributes:
        figure: In the scenario's unit; less is better.
        wall: Seconds.
        peak: MiB.
        late: Milliseconds by which the server sent its tokens too late, in the middle.
        failure: Why it was not measured.
    """

    figure: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    failure: str = ""

    @property
    def median(self) -> float:
        """The figure in the middle."""
        return median(self.figure)

    def ratio(self, other: Figures) -> tuple[float, float]:
        """Return how much of the other's figure this one is, and the noise of that.

        They are compared round by round: what slows the machine down slows both.
        """
        ratios = [a / b for a, b in zip(self.figure, other.figure, strict=False) if b]
        return median(ratios), noise(ratios)


Results = dict[str, dict[str, Figures]]


def noise(values: Sequence[float]) -> float:
    """Return the uncertainty of the middle of the values: two standard errors."""
    return 2 * stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def run(
    scenarios: Sequence[Scenario],
    clients: Sequence[Client],
    rounds: int,
    say: Callable[[str], object],
    versions: dict[str, str],
) -> Results:
    """Measure the clients in each scenario, so many rounds."""
    results: Results = {}
    for scenario in scenarios:
        taking_part = [client for client in clients if client.takes_part(scenario)]
        if not taking_part:
            continue
        say(f"{scenario.name}: {scenario.title} ({scenario.unit})")
        figures = {client.name: Figures() for client in taking_part}
        with server(scenario) as address:
            for number in range(rounds):
                # Another first one each time: whoever follows on something may profit from it.
                first = number % len(taking_part)
                for client in taking_part[first:] + taking_part[:first]:
                    _measure(client, scenario, address, figures[client.name], versions)
        for name, found in figures.items():
            if found.figure:
                each = "  ".join(f"{figure:.1f}" for figure in found.figure)
                say(f"  {name:28}{found.median:10.1f}  ({each})")
            else:
                say(f"  {name:28}failed: {found.failure}")
        results[scenario.name] = figures
    return results


@contextlib.contextmanager
def server(scenario: Scenario) -> Iterator[str]:
    """Run the server for a scenario; give its address."""
    process = subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-m", "benchmarks.server", json.dumps(asdict(scenario.plan()))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _measure(
    client: Client, scenario: Scenario, address: str, figures: Figures, versions: dict[str, str]
) -> None:
    try:
        if scenario.what == "import":
            figures.figure.append(_import(client))
            return
        asked = {
            "module": client.module,
            "variant": client.variant,
            "loop": client.loop,
            "scenario": asdict(scenario),
            "address": address,
        }
        _stats(address)
        done = subprocess.run(  # noqa: S603 - ours
            [*client.command(), json.dumps(asked)],
            cwd=ROOT,
            env=os.environ | ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
    except subprocess.TimeoutExpired:
        figures.failure = f"not done within {PATIENCE} s"
    except subprocess.CalledProcessError as error:
        figures.failure = (error.stderr.strip() or f"exit status {error.returncode}")[-300:]
    else:
        said = json.loads(done.stdout.splitlines()[-1])
        figures.figure.append(said["figure"])
        figures.wall.append(said["wall"])
        figures.peak.append(said["peak"])
        figures.late.append(_stats(address)["late_ms"])
        versions[said["package"]] = said["version"]


def _stats(address: str) -> dict[str, float]:
    with urlopen(f"{address}/stats") as answer:  # noqa: S310 - the server is ours
        stats: dict[str, float] = json.load(answer)
        return stats


def _import(client: Client) -> float:
    """Return the milliseconds of CPU time of a process that imports the client."""
    # The first time may write bytecode, or read from the disk.
    return min(_cpu(client) for _ in range(3)) * 1000


def _cpu(client: Client) -> float:
    process = subprocess.Popen(  # noqa: S603 - ours
        client.import_command(),
        cwd=NODE if client.environment == "node" else ROOT,
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    stderr = process.stderr.read()
    process.stderr.close()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "", stderr=stderr.decode())
    return usage.ru_utime + usage.ru_stime
