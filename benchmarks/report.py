"""The results as a page of Markdown."""

from __future__ import annotations

from itertools import compress
from math import inf
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.goals import COUNT_GOALS, GOALS, Verdict, best_peer, judge
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
    about = ", ".join(f"{name}: {value}" for name, value in machine.items())
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    lines = [
        "# Results",
        "",
        f"Written by `make bench`, rounds: {rounds}. How to read it is in [README.md](README.md).",
        "",
        f"- {about}",
        f"- {named}",
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
            lines += ["", f"## {scenario.name}", "", *_scenario(scenario, results)]
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
            f"| {goal.most:.3g}{unit} | {value} | {word} |"
        )


def _scenario(scenario: Scenario, results: Results) -> Iterator[str]:
    yield f"{scenario.title[0].upper()}{scenario.title[1:]}."
    yield ""
    rows = sorted(_rows(scenario, results), key=lambda row: row[0])
    # Columns without a value are left out.
    is_filled = [any(cells[number] for _, cells in rows) for number in range(len(COLUMNS))]
    titles = [title.format(unit=scenario.unit, base=_base(scenario)) for title in COLUMNS]
    aligned = ["---", *("--:" for _ in COLUMNS[1:-1]), "---"]
    for cells in (titles, aligned, *(cells for _, cells in rows)):
        yield f"| {' | '.join(compress(cells, is_filled))} |"


def _base(scenario: Scenario) -> str:
    # For what hfgen's own ways cost, the plain way is the measure.
    return "hfgen" if scenario.is_own else "floor"


def _rows(scenario: Scenario, results: Results) -> Iterator[tuple[float, list[str]]]:
    """Yield what each row is sorted by, and its cells."""
    figures = results[scenario.name]
    all_clients: tuple[Client | LocalServer, ...] = (*CLIENTS, *LOCAL_SERVERS)
    for client in all_clients:
        found = figures.get(client.name)
        if found is None or not client.takes_part(scenario):
            continue
        base = figures.get(_base(scenario) if scenario.is_own else client.floor)
        peer = None if scenario.is_own else best_peer(scenario.name, results, client.loop)
        bold = "**" if client.name.startswith("hfgen") else ""
        dependencies = figures.get(client.dependencies)
        notes = [
            own_share(client, found, dependencies) if dependencies else "",
            f"1/{client.share} of the work" * (client.share > 1 and scenario.what != "import"),
            "could not keep up" * _is_late(found),
            (found.failure.splitlines() or [""])[-1].replace("|", "\\|"),
        ]
        more = f"{found.above(base):+.1f}" if base and scenario.kind == "local" else ""
        yield (
            found.median if found.figure else inf,
            [
                f"{bold}{client.name}{bold}",
                f"{found.median:.1f}" if found.figure else "",
                f"{_spread(found):.1f}" if found.figure else "",
                more if found.figure else "",
                _ratio(found, base),
                _ratio(found, figures.get(peer or "")),
                _middle(found.speed, 0),
                _middle(found.first, 1),
                _middle(found.wall, 2),
                f"{max(found.peak):.0f}" if found.peak else "",
                "; ".join(filter(None, notes)),
            ],
        )


def own_share(client: Client | LocalServer, found: Figures, dependencies: Figures) -> str:
    """Return how much of an import is the client's own, beside its dependencies."""
    if not found.figure or not dependencies.figure:
        return ""
    return f"its own: {found.above(dependencies):.1f} ms, beside {client.dependencies}"


def import_lines(results: Results) -> Iterator[str]:
    """Yield a line for each client whose import has been measured beside its dependencies."""
    figures = results.get("import", {})
    for client in CLIENTS:
        found, dependencies = figures.get(client.name), figures.get(client.dependencies)
        if found and dependencies and (share := own_share(client, found, dependencies)):
            yield f"{client.name}: {found.median:.1f} ms to import and make; {share}"


def _spread(figures: Figures) -> float:
    return (max(figures.figure) - min(figures.figure)) / 2


def _ratio(figures: Figures, other: Figures | None) -> str:
    if other is None or not other.figure or not figures.figure:
        return ""
    return f"{figures.ratio(other)[0]:.2f}"


def _middle(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f}" if values else ""


def _is_late(figures: Figures) -> bool:
    return bool(figures.late) and median(figures.late) > LATE_MS
