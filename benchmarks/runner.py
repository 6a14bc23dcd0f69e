"""Runs clients against the server, in turns, and gathers their figures."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass, field
from statistics import median, stdev
from typing import TYPE_CHECKING, Any

from benchmarks.roster import NODE, ROOT, Client
from benchmarks.servers import ENVIRONMENT, Servers, StartError, fetch

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable, Sequence

    from benchmarks.local_servers import LocalServer
    from benchmarks.scenarios import Scenario

# Seconds for one measurement, far more than any takes.
PATIENCE = 120


@dataclass
class Figures:
    """What came of one client in one scenario, a value a round.

    Attributes:
        figure: In the scenario's unit; less is better.
        wall: Seconds.
        peak: MiB.
        speed: Tokens a second, of all streams together.
        first: Milliseconds to the first token, in the middle of the streams.
        late: Milliseconds by which the server sent its tokens too late, in the middle.
        failure: Why it was not measured.
    """

    figure: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
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

    def above(self, other: Figures) -> float:
        """Return by how much this figure is more than the other's."""
        return median(a - b for a, b in zip(self.figure, other.figure, strict=False))


# How many standard errors: the fewer the values, the less their spread is known (Student's t).
_STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}

Results = dict[str, dict[str, Figures]]


def noise(values: Sequence[float]) -> float:
    """Return the uncertainty of the middle of the values: half of its interval of 95 %."""
    count = len(values)
    return _STUDENT.get(count, 2.0) * stdev(values) / count**0.5 if count > 1 else 0.0


def measure_all(
    scenarios: Sequence[Scenario],
    clients: Sequence[Client | LocalServer],
    rounds: int,
    report: Callable[[str], object],
    versions: dict[str, str],
) -> Results:
    """Measure the clients in each scenario, so many rounds."""
    results: Results = {}
    with Servers() as servers:
        for scenario in scenarios:
            taking_part = [client for client in clients if client.takes_part(scenario)]
            if not taking_part:
                continue
            report(f"{scenario.name}: {scenario.title} ({scenario.unit})")
            figures = results[scenario.name] = {client.name: Figures() for client in taking_part}
            for number in range(rounds):
                # Another client is first in each round: the one before may leave caches warm.
                first = number % len(taking_part)
                for client in taking_part[first:] + taking_part[:first]:
                    # A client that failed once is left out: rounds are compared by their number.
                    if not (found := figures[client.name]).failure:
                        _measure(client, scenario.part(client.share), servers, found, versions)
            for name, found in figures.items():
                values = "  ".join(f"{figure:.1f}" for figure in found.figure)
                middle = f"{found.median:10.1f}  ({values})" if found.figure else ""
                failed = f"  failed: {found.failure}" if found.failure else ""
                report(f"  {name:28}{middle}{failed}")
    return results


def _measure(
    client: Client | LocalServer,
    scenario: Scenario,
    servers: Servers,
    figures: Figures,
    versions: dict[str, str],
) -> None:
    try:
        if isinstance(client, Client) and scenario.what == "import":
            figures.figure.append(_import(client))
            return
        place = servers.place(client, scenario)
        is_scripted = isinstance(client, Client)
        if is_scripted:
            _stats(place["address"])
        done = run_worker(client, scenario, place)
        done.check_returncode()
    except StartError as error:
        figures.failure = str(error)
    except subprocess.TimeoutExpired:
        figures.failure = f"not done within {PATIENCE} s"
    except subprocess.CalledProcessError as error:
        figures.failure = (error.stderr.strip() or f"exit status {error.returncode}")[-300:]
    else:
        measurement = json.loads(done.stdout.splitlines()[-1])
        for name in ("figure", "wall", "peak", "speed", "first"):
            getattr(figures, name).extend([measurement[name]] if name in measurement else [])
        if is_scripted:
            figures.late.append(_stats(place["address"])["late_ms"])
        versions[measurement["package"]] = measurement["version"]


def run_worker(
    client: Client | LocalServer,
    scenario: Scenario,
    place: dict[str, Any],
) -> subprocess.CompletedProcess[str]:
    """Return what came of a process that does what the scenario says.

    Args:
        client: Who does it.
        scenario: What is done.
        place: What it is told of its server.
    """
    arguments = {**client.arguments, **place, "scenario": asdict(scenario)}
    return subprocess.run(  # noqa: S603 - ours
        [*client.command, json.dumps(arguments)],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _stats(address: str) -> dict[str, float]:
    stats: dict[str, float] = json.loads(fetch(f"{address}/stats"))
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
    usage = wait_for_end(process)
    assert process.stderr is not None
    stderr = process.stderr.read()
    process.stderr.close()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "", stderr=stderr.decode())
    return usage.ru_utime + usage.ru_stime


def wait_for_end(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """Wait for the end of a process; return what it has used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage
