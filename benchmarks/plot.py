"""The results as a picture, where matplotlib is: `python -m benchmarks.plot IN.json OUT.svg`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

from benchmarks.local_servers import LOCAL_SERVERS
from benchmarks.roster import CLIENTS
from benchmarks.scenarios import SCENARIOS, Scenario

mpl.use("svg")
# Text stays text, and the same figures give the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "hfgen", "font.size": 8})

import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen before

SHOWN = (
    *("sync-1", "async-200", "burst-sync", "burst-async", "run-64", "many", "first-async"),
    *("idle-1000", "import", "serve-1", "serve-64"),
)
COLOURS = {"floor": "#868e96", "hfgen": "#d9480f"}
PEER = "#4dabf7"
# From here on a figure has no decimals.
MANY = 100
# Inches: of a panel, and of a bar in it.
WIDTH, BAR, TITLE = 5.5, 0.17, 0.55


def main() -> None:
    """Draw a panel for each scenario: a bar for each client, the least first."""
    results: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    shown = [scenario for scenario in SCENARIOS if scenario.name in {*SHOWN} & {*results}]
    pairs = [shown[start : start + 2] for start in range(0, len(shown), 2)]
    heights = [
        TITLE + BAR * max(len(_compute_medians(results[scenario.name])) for scenario in pair)
        for pair in pairs
    ]
    figure, panels = plt.subplots(
        len(pairs),
        2,
        figsize=(2 * WIDTH, sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for panel, scenario in zip(panels.flat, shown, strict=False):
        _draw_panel(panel, scenario, _compute_medians(results[scenario.name]))
    for panel in panels.flat[len(shown) :]:
        panel.remove()
    figure.suptitle("Bars are logarithmic; in brackets, how many times the floor.", fontsize=8)
    figure.savefig(sys.argv[2], metadata={"Date": None})


def _compute_medians(figures_by_name: dict[str, Any]) -> dict[str, float]:
    return {
        name: median(client_figures["figure"])
        for name, client_figures in figures_by_name.items()
        if client_figures["figure"]
    }


def _draw_panel(panel: Any, scenario: Scenario, figures: dict[str, float]) -> None:
    """Draw the figures on a scale of ratios, with each one's own to its floor."""
    floors = {c.name: c.floor for c in (*CLIENTS, *LOCAL_SERVERS) if c.takes_part(scenario)}
    names = sorted(figures, key=lambda name: -figures[name])
    smallest = min(figures.values())
    colours = [COLOURS.get(name.partition(",")[0].partition(" ")[0], PEER) for name in names]
    # A bar as long as the logarithm, so that a tenth and ten times are seen alike.
    bars = panel.barh(names, [figures[name] for name in names], color=colours, height=0.7)
    panel.set_xscale("log")
    panel.set_xlim(left=smallest / 2, right=max(figures.values()) * 6)
    labels = [_format_label(figures[name], figures.get(floors[name])) for name in names]
    panel.bar_label(bars, labels, padding=3)
    panel.set_title(
        f"{scenario.name}: {scenario.title}\n{scenario.unit} (÷ floor)", loc="left", fontsize=8
    )
    panel.spines[["top", "right", "bottom"]].set_visible(False)
    panel.tick_params(axis="x", which="both", bottom=False, labelbottom=False)
    panel.tick_params(axis="y", left=False)
    panel.margins(y=0.02)


def _format_label(figure: float, floor: float | None) -> str:
    rounded = f"{figure:,.1f}" if figure < MANY else f"{figure:,.0f}"
    return f"{rounded}   ({figure / floor:.2f})" if floor else rounded


if __name__ == "__main__":
    main()
