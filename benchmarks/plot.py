"""The results as a picture, where matplotlib is: `python -m benchmarks.plot IN.json OUT.svg`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("svg")
# Text stays text, and the same figures give the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "hfgen", "font.size": 8})

import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen before

SHOWN = ("sync-1", "async-200", "burst-async", "run-64", "idle-1000", "import")
COLOURS = {"floor": "#999999", "hfgen": "#d9480f"}


def main() -> None:
    """Draw a panel for each scenario: a bar for each client, the least first."""
    results: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    shown = [name for name in SHOWN if name in results["figures"]]
    figure, panels = plt.subplots((len(shown) + 1) // 2, 2, figsize=(10, 1.9 * len(shown)))
    for panel, name in zip(panels.flat, shown, strict=False):
        found = {
            client: median(said["figure"])
            for client, said in results["figures"][name].items()
            if said["figure"]
        }
        names = sorted(found, key=lambda client: -found[client])
        colours = [COLOURS.get(client.partition(",")[0], "#74c0fc") for client in names]
        bars = panel.barh(names, [found[client] for client in names], color=colours)
        panel.bar_label(bars, fmt="%.3g", padding=2)
        panel.set_title(f"{name}: {results['units'][name]}", loc="left")
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.15)
    for panel in panels.flat[len(shown) :]:
        panel.remove()
    figure.tight_layout()
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
