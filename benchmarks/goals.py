"""The goals of hfgen's cost, and a verdict on each from measured figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.runner import noise

if TYPE_CHECKING:
    from benchmarks.runner import Results

PEERS = "any peer"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The most that a figure may be.

    Attributes:
        scenario: Where it is measured.
        client: Whose figure it is.
        against: The client to whose figure it is put in proportion, or `PEERS` for the best of
            them on the same loop; nothing for the figure itself.
        most: The most that it may be.
    """

    scenario: str
    client: str = "hfgen"
    against: str = ""
    most: float


# Ratios of counted instructions (`instructions.py`): they hold on any processor. Calls may take 3 %
# more than they took when the goals were set.
COUNT_GOALS = (
    Goal(scenario="token-sync", against="http.client, by hand", most=0.5),
    Goal(scenario="stream-sync", against="http.client, by hand", most=2.70),
    Goal(scenario="run-sync", against="http.client, by hand", most=2.65),
    Goal(scenario="token-async", against="aiohttp, by hand", most=0.75),
    Goal(scenario="stream-async", against="aiohttp, by hand", most=1.73),
    Goal(scenario="run-async", against="aiohttp, by hand", most=1.64),
)

# Ratios of times to peers, and one figure of memory: processors differ too much in what the floor
# costs beside a client for a goal against the floor.
GOALS = (
    Goal(scenario="sync-1", against=PEERS, most=1.0),
    Goal(scenario="sync-1", against="httpx, by hand", most=0.6),
    Goal(scenario="sync-1", against="huggingface_hub", most=0.25),
    Goal(scenario="async-200", against=PEERS, most=1.0),
    Goal(
        scenario="async-200", client="hfgen, uvloop", against="aiohttp, by hand, uvloop", most=1.0
    ),
    Goal(scenario="burst-sync", against="http.client, by hand", most=0.6),
    Goal(scenario="burst-async", against="aiohttp, by hand", most=0.6),
    # KiB a stream.
    Goal(scenario="idle-1000", most=60),
    # The async client is held to its own dependencies: aiohttp alone takes longer than
    # `httpx.AsyncClient()`.
    Goal(scenario="import", client="hfgen, Client()", against="httpx, Client()", most=1.0),
    Goal(
        scenario="import",
        client="hfgen, AsyncClient()",
        against="msgspec and aiohttp, alone",
        most=1.2,
    ),
    # Three times the requests a second and core.
    Goal(scenario="run-64", against="huggingface_hub", most=1 / 3),
    Goal(scenario="run-64", against="httpx, by hand", most=1 / 3),
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Where a goal stands.

    Attributes:
        goal: The goal.
        against: What it was compared with; the name of the best peer, if with the peers.
        value: The figure, or the ratio; None if it was not measured.
        noise: By how much it may be off.
    """

    goal: Goal
    against: str = ""
    value: float | None = None
    noise: float = 0.0

    @property
    def is_met(self) -> bool:
        """Whether the value is no more than it may be."""
        return self.value is not None and self.value <= self.goal.most

    @property
    def is_missed(self) -> bool:
        """Whether it is more, by more than the noise."""
        return self.value is not None and self.value - self.noise > self.goal.most


def judge(goal: Goal, results: Results) -> Verdict:
    """Return where the goal stands by these results."""
    figures = results.get(goal.scenario, {})
    ours = figures.get(goal.client)
    if ours is None or not ours.figure:
        return Verdict(goal=goal)
    if not goal.against:
        return Verdict(goal=goal, value=ours.median, noise=noise(ours.figure))
    against: str | None = goal.against
    if against == PEERS:
        against = best_peer(goal.scenario, results)
    if against is None or against not in figures or not figures[against].figure:
        return Verdict(goal=goal)
    value, uncertainty = ours.ratio(figures[against])
    return Verdict(goal=goal, against=against, value=value, noise=uncertainty)


def best_peer(scenario: str, results: Results, loop: str = "") -> str | None:
    """Return the peer with the least figure, on asyncio's loop or on another one."""
    found = {
        name: figures.median
        for name, figures in results.get(scenario, {}).items()
        if figures.figure
        and not name.startswith(("floor", "hfgen"))
        and not name.endswith(", alone")
        and name.endswith(", uvloop") == (loop == "uvloop")
    }
    return min(found, key=lambda name: found[name], default=None)
