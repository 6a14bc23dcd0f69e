"""Measure hfgen and its peers, and write RESULTS.md; or, with --check, hold it to its goals."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from dataclasses import asdict

from benchmarks import machine
from benchmarks.goals import COUNT_GOALS, GOALS, PEERS, judge
from benchmarks.instructions import count_all, has_valgrind
from benchmarks.local_servers import LOCAL_SERVERS, LocalServer
from benchmarks.report import render_goals, render_imports, render_page
from benchmarks.roster import CLIENTS, ENVIRONMENTS, ROOT, Client
from benchmarks.runner import Results, measure_all
from benchmarks.scenarios import SCENARIOS, Scenario

OUT = ROOT / "benchmarks"
# The figures of every round, for `plot.py` and for a closer look.
RAW = ROOT / "build" / "benchmarks.json"
PLOT = ENVIRONMENTS / "plot" / "bin" / "python"
# The fastest peers: measuring all peers would take too long for a check.
CLOSEST = {
    *("http.client, by hand", "aiohttp, by hand"),
    *("text-generation", "@huggingface/inference"),
}
# Imports that are shown beside hfgen's, without a goal.
IMPORTED = {"httpx, AsyncClient()", "huggingface_hub"}


def main() -> int:
    """Do what the command line says."""
    # SystemExit, like Ctrl-C, ends the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where a goal is missed")
    parser.add_argument("--rounds", type=int, help="how often each (3, with --check 5)")
    parser.add_argument("--only", nargs="+", metavar="SCENARIO", help="these scenarios")
    parser.add_argument("--clients", nargs="+", metavar="NAME", help="these clients")
    arguments = parser.parse_args()
    names = arguments.only or [scenario.name for scenario in SCENARIOS]
    if unknown := set(names) - {scenario.name for scenario in SCENARIOS}:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in names]
    all_clients: list[Client | LocalServer] = [*CLIENTS, *LOCAL_SERVERS]
    known = {client.name for client in all_clients}
    if unknown := set(arguments.clients or ()) - known:
        parser.error(f"no such client: {', '.join(sorted(unknown))}")
    chosen_names = known & set(arguments.clients or known)
    clients = [client for client in all_clients if client.name in chosen_names]
    for origin in sorted({client.origin for client in clients if not client.is_installed}):
        missing = {c.name for c in clients if c.origin == origin and not c.is_installed}
        print(
            f"not compared, because `{origin}` has not installed it: {', '.join(sorted(missing))}"
        )
    clients = [client for client in clients if client.is_installed]
    rounds = arguments.rounds or (5 if arguments.check else 3)
    if arguments.check:
        return _check(scenarios, clients, rounds)
    versions: dict[str, str] = {}
    machine_facts = machine.describe_machine()
    results = measure_all(scenarios, clients, rounds, print, versions)
    if arguments.only is None:
        results |= count_for_goals(clients)
    _save_figures(results)
    text = render_page(results, machine_facts, versions, rounds)
    if arguments.only is None and arguments.clients is None:
        (OUT / "RESULTS.md").write_text(text, encoding="utf-8")
        _draw_plot()
    else:
        print(text)
    return 0


def _check(scenarios: list[Scenario], clients: list[Client | LocalServer], rounds: int) -> int:
    """Measure what the goals need, print whether each is met, and return the exit status."""
    results: Results = {}
    for scenario in scenarios:
        goals = [goal for goal in GOALS if goal.scenario == scenario.name]
        needed = {goal.client for goal in goals} | {goal.against for goal in goals}
        if PEERS in needed:
            needed |= CLOSEST
        if scenario.name == "import":
            needed |= {client.name for client in clients if client.dependencies}
            needed |= {client.dependencies for client in clients}
            needed |= IMPORTED
        participants = [client for client in clients if client.name in needed]
        if goals:
            results |= measure_all([scenario.shorten()], participants, rounds, print, {})
    if len(scenarios) == len(SCENARIOS):
        results |= count_for_goals(clients)
    verdicts = [judge(goal, results) for goal in (*COUNT_GOALS, *GOALS) if goal.scenario in results]
    print("\n".join([*render_imports(results), *render_goals(verdicts)]))
    return int(any(verdict.is_missed for verdict in verdicts))


def count_for_goals(clients: list[Client | LocalServer]) -> Results:
    """Return the counted instructions that the goals need; nothing without valgrind."""
    if not has_valgrind():
        print("instructions are not counted, because valgrind is not installed")
        return {}
    needed = {name for goal in COUNT_GOALS for name in (goal.client, goal.against)}
    print("counted instructions, of one repetition each")
    return count_all(
        [client for client in clients if isinstance(client, Client) and client.name in needed],
        print,
    )


def _save_figures(results: Results) -> None:
    RAW.parent.mkdir(exist_ok=True)
    figures = {
        scenario: {name: asdict(client_figures) for name, client_figures in figures_by_name.items()}
        for scenario, figures_by_name in results.items()
    }
    RAW.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _draw_plot() -> None:
    if not PLOT.exists():
        print("no picture: matplotlib is not installed (make .venv-bench/plot/ready)")
        return
    command = [str(PLOT), "-m", "benchmarks.plot", str(RAW), str(OUT / "results.svg")]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - ours


if __name__ == "__main__":
    sys.exit(main())
