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
TIMEOUT = 120


@dataclass
class Figures:
    """The figures of one client in one scenario: a list has one value for each round.

    Attributes:
        figure: In the scenario's unit; less is better.
        wall: Seconds.
        peak: MiB.
        speed: Tokens a second, of all streams together.
        first: Milliseconds to the first token, the median of the streams.
        late: Milliseconds by which the server sent its tokens too late, the median.
        failure: The reason why the client was not measured; empty if it was.
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
        """The median of the figures."""
        return median(self.figure)

    def ratio(self, other: Figures) -> tuple[float, float]:
        """Return the ratio of this figure to the other's, and the noise of the ratio.

        Figures are compared round by round, because a slow machine slows both.
        """
        ratios = [a / b for a, b in zip(self.figure, other.figure, strict=False) if b]
        return median(ratios), estimate_noise(ratios)

    def difference(self, other: Figures) -> float:
        """Return by how much this figure is more than the other's."""
        return median(a - b for a, b in zip(self.figure, other.figure, strict=False))


# Student's t for 95 %, by the number of values.
_STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}

Results = dict[str, dict[str, Figures]]


def estimate_noise(values: Sequence[float]) -> float:
    """Return the uncertainty of the mean: half of its confidence interval of 95 %."""
    count = len(values)
    return _STUDENT.get(count, 2.0) * stdev(values) / count**0.5 if count > 1 else 0.0


def measure_all(
    scenarios: Sequence[Scenario],
    clients: Sequence[Client | LocalServer],
    rounds: int,
    report: Callable[[str], object],
    versions: dict[str, str],
) -> Results:
    """Measure the clients in each scenario, `rounds` times."""
    results: Results = {}
    with Servers() as servers:
        for scenario in scenarios:
            participants = [client for client in clients if client.takes_part(scenario)]
            if not participants:
                continue
            report(f"{scenario.name}: {scenario.title} ({scenario.unit})")
            figures = results[scenario.name] = {client.name: Figures() for client in participants}
            for number in range(rounds):
                # Another client is first in each round: the one before may leave caches warm.
                first = number % len(participants)
                for client in participants[first:] + participants[:first]:
                    # A client that failed once is left out: rounds are compared by their number.
                    if not (client_figures := figures[client.name]).failure:
                        _measure_client(
                            client,
                            scenario.take_share(client.share),
                            servers,
                            client_figures,
                            versions,
                        )
            for name, client_figures in figures.items():
                values = "  ".join(f"{figure:.1f}" for figure in client_figures.figure)
                middle = (
                    f"{client_figures.median:10.1f}  ({values})" if client_figures.figure else ""
                )
                failure = f"  failed: {client_figures.failure}" if client_figures.failure else ""
                report(f"  {name:28}{middle}{failure}")
    return results


def _measure_client(
    client: Client | LocalServer,
    scenario: Scenario,
    servers: Servers,
    figures: Figures,
    versions: dict[str, str],
) -> None:
    try:
        if isinstance(client, Client) and scenario.task == "import":
            figures.figure.append(_measure_import(client))
            return
        location = servers.locate(client, scenario)
        is_scripted = isinstance(client, Client)
        if is_scripted:
            _fetch_stats(location["address"])
        process = run_worker(client, scenario, location)
        process.check_returncode()
    except StartError as error:
        figures.failure = str(error)
    except subprocess.TimeoutExpired:
        figures.failure = f"not done within {TIMEOUT} s"
    except subprocess.CalledProcessError as error:
        figures.failure = (error.stderr.strip() or f"exit status {error.returncode}")[-300:]
    else:
        measurement = json.loads(process.stdout.splitlines()[-1])
        for name in ("figure", "wall", "peak", "speed", "first"):
            getattr(figures, name).extend([measurement[name]] if name in measurement else [])
        if is_scripted:
            figures.late.append(_fetch_stats(location["address"])["late_ms"])
        versions[measurement["package"]] = measurement["version"]


def run_worker(
    client: Client | LocalServer,
    scenario: Scenario,
    location: dict[str, Any],
) -> subprocess.CompletedProcess[str]:
    """Run a scenario in a process of its own, and return the process.

    Args:
        client: The client that is measured.
        scenario: What the client does.
        location: Where its server is, from `Servers.locate`.
    """
    arguments = {**client.arguments, **location, "scenario": asdict(scenario)}
    return subprocess.run(  # noqa: S603 - ours
        [*client.command, json.dumps(arguments)],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def _fetch_stats(address: str) -> dict[str, float]:
    stats: dict[str, float] = json.loads(fetch(f"{address}/stats"))
    return stats


def _measure_import(client: Client) -> float:
    """Return the milliseconds of CPU time of a process that imports the client."""
    # The first time may write bytecode, or read from the disk.
    return min(_measure_cpu(client) for _ in range(3)) * 1000


def _measure_cpu(client: Client) -> float:
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
    """Wait for the end of a process; return its use of time and memory."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage
