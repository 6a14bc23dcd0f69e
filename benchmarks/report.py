"""The results as a page of Markdown."""

from __future__ import annotations

from itertools import compress
from math import inf
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.goals import COUNT_GOALS, GOALS, Verdict, find_best_peer, judge
from benchmarks.local_servers import LOCAL_SERVERS, LocalServer
from benchmarks.roster import CLIENTS, Client
from benchmarks.scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmarks.runner import Figures, Results

COLUMNS = (
    "client",
    "{unit}",
    "±",
    "over {base}",
    "÷ {base}",
    "÷ best peer",
    "tokens/s",
    "first token, ms",
    "wall s",
    "peak MiB",
    "notes",
)
# Milliseconds. A median lateness above this means that the server or the client could not keep up.
LATE_MS = 5.0


def render_page(
    results: Results, machine: Mapping[str, str], versions: Mapping[str, str], rounds: int
) -> str:
    """Return the page."""
    machine_facts = ", ".join(f"{name}: {value}" for name, value in machine.items())
    packages = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    lines = [
        "# Results",
        "",
        f"Written by `make bench`, rounds: {rounds}. How to read it is in [README.md](README.md).",
        "",
        f"- {machine_facts}",
        f"- {packages}",
        "",
        "![CPU time by client](results.svg)",
        "",
        "## Goals",
        "",
        *render_goals(
            judge(goal, results) for goal in (*COUNT_GOALS, *GOALS) if goal.scenario in results
        ),
    ]
    for scenario in SCENARIOS:
        if scenario.name in results:
            lines += ["", f"## {scenario.name}", "", *_render_scenario(scenario, results)]
    return "\n".join(lines) + "\n"


def render_goals(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """Yield the lines of the table of goals."""
    yield "| scenario | client | to | may be | is | |"
    yield "|---|---|---|--:|--:|---|"
    units = {scenario.name: scenario.unit for scenario in SCENARIOS}
    for verdict in verdicts:
        goal = verdict.goal
        unit = " times" if goal.against else f" {units[goal.scenario]}"
        value, word = "", "not measured"
        if verdict.value is not None:
            value = f"{verdict.value:.2f} ± {verdict.noise:.2f}"
            word = (
                "met" if verdict.is_met else "**missed**" if verdict.is_missed else "within noise"
            )
        yield (
            f"| {goal.scenario} | {goal.client} | {verdict.against or goal.against} "
            f"| {goal.limit:.3g}{unit} | {value} | {word} |"
        )


def _render_scenario(scenario: Scenario, results: Results) -> Iterator[str]:
    yield f"{scenario.title[0].upper()}{scenario.title[1:]}."
    yield ""
    rows = sorted(_make_rows(scenario, results), key=lambda row: row[0])
    # Columns without a value are left out.
    is_filled = [any(cells[number] for _, cells in rows) for number in range(len(COLUMNS))]
    titles = [title.format(unit=scenario.unit, base=_name_base(scenario)) for title in COLUMNS]
    aligned = ["---", *("--:" for _ in COLUMNS[1:-1]), "---"]
    for cells in (titles, aligned, *(cells for _, cells in rows)):
        yield f"| {' | '.join(compress(cells, is_filled))} |"


def _name_base(scenario: Scenario) -> str:
    # Ways of calling hfgen are compared with the plain call.
    return "hfgen" if scenario.is_own else "floor"


def _make_rows(scenario: Scenario, results: Results) -> Iterator[tuple[float, list[str]]]:
    """Yield a sort key and the cells of each row."""
    figures = results[scenario.name]
    all_clients: tuple[Client | LocalServer, ...] = (*CLIENTS, *LOCAL_SERVERS)
    for client in all_clients:
        client_figures = figures.get(client.name)
        if client_figures is None or not client.takes_part(scenario):
            continue
        base = figures.get(_name_base(scenario) if scenario.is_own else client.floor)
        peer = None if scenario.is_own else find_best_peer(scenario.name, results, client.loop)
        bold = "**" if client.name.startswith("hfgen") else ""
        dependencies = figures.get(client.dependencies)
        notes = [
            describe_own_share(client, client_figures, dependencies) if dependencies else "",
            f"1/{client.share} of the work" * (client.share > 1 and scenario.task != "import"),
            "could not keep up" * _is_late(client_figures),
            (client_figures.failure.splitlines() or [""])[-1].replace("|", "\\|"),
        ]
        difference = (
            f"{client_figures.difference(base):+.1f}" if base and scenario.kind == "local" else ""
        )
        yield (
            client_figures.median if client_figures.figure else inf,
            [
                f"{bold}{client.name}{bold}",
                f"{client_figures.median:.1f}" if client_figures.figure else "",
                f"{_compute_spread(client_figures):.1f}" if client_figures.figure else "",
                difference if client_figures.figure else "",
                _format_ratio(client_figures, base),
                _format_ratio(client_figures, figures.get(peer or "")),
                _format_median(client_figures.speed, 0),
                _format_median(client_figures.first, 1),
                _format_median(client_figures.wall, 2),
                f"{max(client_figures.peak):.0f}" if client_figures.peak else "",
                "; ".join(filter(None, notes)),
            ],
        )


def describe_own_share(
    client: Client | LocalServer, client_figures: Figures, dependencies: Figures
) -> str:
    """Return how much of an import is the client's own, beside its dependencies."""
    if not client_figures.figure or not dependencies.figure:
        return ""
    return (
        f"its own: {client_figures.difference(dependencies):.1f} ms, beside {client.dependencies}"
    )


def render_imports(results: Results) -> Iterator[str]:
    """Yield a line for each client whose import has been measured beside its dependencies."""
    figures = results.get("import", {})
    for client in CLIENTS:
        client_figures, dependencies = figures.get(client.name), figures.get(client.dependencies)
        if (
            client_figures
            and dependencies
            and (share := describe_own_share(client, client_figures, dependencies))
        ):
            yield f"{client.name}: {client_figures.median:.1f} ms to import and make; {share}"


def _compute_spread(figures: Figures) -> float:
    return (max(figures.figure) - min(figures.figure)) / 2


def _format_ratio(figures: Figures, other: Figures | None) -> str:
    if other is None or not other.figure or not figures.figure:
        return ""
    return f"{figures.ratio(other)[0]:.2f}"


def _format_median(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f}" if values else ""


def _is_late(figures: Figures) -> bool:
    return bool(figures.late) and median(figures.late) > LATE_MS
