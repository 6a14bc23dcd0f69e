"""The results as a page of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.goals import GOALS, Verdict, best_peer, judged
from benchmarks.roster import CLIENTS
from benchmarks.scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from benchmarks.runner import Figures, Results

# A token that comes so much too late in the middle means that somebody could not keep up.
LATE_MS = 5.0


def page(
    results: Results, machine: Mapping[str, str], versions: Mapping[str, str], rounds: int
) -> str:
    """Return the page."""
    about = ", ".join(f"{name}: {value}" for name, value in machine.items())
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    lines = [
        "# Results",
        "",
        f"Written by `make bench`, {rounds} rounds. How to read it is in [README.md](README.md).",
        "",
        f"- {about}",
        f"- {named}",
        "",
        "![CPU time by client](results.svg)",
        "",
        "## Goals",
        "",
        *goals(judged(goal, results) for goal in GOALS),
    ]
    for scenario in SCENARIOS:
        if scenario.name in results:
            lines += ["", f"## {scenario.name}", "", *_scenario(scenario, results)]
    return "\n".join(lines) + "\n"


def goals(verdicts: Iterable[Verdict]) -> Iterator[str]:
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
    figures = results[scenario.name]
    yield f"{scenario.title[0].upper()}{scenario.title[1:]}."
    yield ""
    # For what hfgen's own ways cost, the plain way is the measure.
    base = "hfgen" if scenario.is_own else "floor"
    yield f"| client | {scenario.unit} | ± | ÷ {base} | ÷ best peer | wall s | peak MiB | |"
    yield "|---|--:|--:|--:|--:|--:|--:|---|"
    loops = {client.name: client.loop for client in CLIENTS}
    floors = {client.name: client.floor for client in CLIENTS}
    named = {name: found for name, found in figures.items() if found.figure}
    for name, found in sorted(named.items(), key=lambda item: item[1].median):
        floor = figures.get("hfgen" if scenario.is_own else floors[name])
        peer = None if scenario.is_own else best_peer(scenario.name, results, loops[name])
        cells = [
            f"**{name}**" if name.startswith("hfgen") else name,
            f"{found.median:.1f}",
            f"{_spread(found):.1f}",
            _ratio(found, floor),
            _ratio(found, figures.get(peer or "")),
            f"{sorted(found.wall)[len(found.wall) // 2]:.2f}" if found.wall else "",
            f"{max(found.peak):.0f}" if found.peak else "",
            "could not keep up" if _is_late(found) else "",
        ]
        yield f"| {' | '.join(cells)} |"
    for name, found in figures.items():
        if not found.figure:
            last = (found.failure.splitlines() or [""])[-1].replace("|", "\\|")
            yield f"| {name} | | | | | | | {last} |"


def _spread(figures: Figures) -> float:
    return (max(figures.figure) - min(figures.figure)) / 2


def _ratio(figures: Figures, other: Figures | None) -> str:
    return f"{figures.ratio(other)[0]:.2f}" if other and other.figure else ""


def _is_late(figures: Figures) -> bool:
    return bool(figures.late) and sorted(figures.late)[len(figures.late) // 2] > LATE_MS
