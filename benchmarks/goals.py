"""The goals of hfgen's cost, and a verdict on each from measured figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.runner import estimate_noise

if TYPE_CHECKING:
    from benchmarks.runner import Results

PEERS = "any peer"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A limit that a figure must not exceed.

    Attributes:
        scenario: The scenario in which the figure is measured.
        client: The client whose figure it is.
        against: The limit is for the ratio to this client's figure; `PEERS` is the best peer on
            the same loop. Empty: the limit is for the figure itself.
        limit: The highest value that meets the goal.
    """

    scenario: str
    client: str = "hfgen"
    against: str = ""
    limit: float


# Ratios of counted instructions (`instructions.py`): they hold on any processor. Calls may take 3 %
# more than they took when the goals were set.
COUNT_GOALS = (
    Goal(scenario="token-sync", against="http.client, by hand", limit=0.5),
    Goal(scenario="stream-sync", against="http.client, by hand", limit=2.70),
    Goal(scenario="run-sync", against="http.client, by hand", limit=2.65),
    Goal(scenario="token-async", against="aiohttp, by hand", limit=0.75),
    Goal(scenario="stream-async", against="aiohttp, by hand", limit=1.73),
    Goal(scenario="run-async", against="aiohttp, by hand", limit=1.64),
)

# Ratios of times to peers, and one figure of memory: processors differ too much in what the floor
# costs beside a client for a goal against the floor.
GOALS = (
    Goal(scenario="sync-1", against=PEERS, limit=1.0),
    Goal(scenario="sync-1", against="httpx, by hand", limit=0.6),
    Goal(scenario="sync-1", against="huggingface_hub", limit=0.25),
    Goal(scenario="async-200", against=PEERS, limit=1.0),
    Goal(
        scenario="async-200", client="hfgen, uvloop", against="aiohttp, by hand, uvloop", limit=1.0
    ),
    Goal(scenario="burst-sync", against="http.client, by hand", limit=0.6),
    Goal(scenario="burst-async", against="aiohttp, by hand", limit=0.6),
    # KiB a stream.
    Goal(scenario="idle-1000", limit=60),
    # The async client is held to its own dependencies: aiohttp alone takes longer than
    # `httpx.AsyncClient()`.
    Goal(scenario="import", client="hfgen, Client()", against="httpx, Client()", limit=1.0),
    Goal(
        scenario="import",
        client="hfgen, AsyncClient()",
        against="msgspec and aiohttp, alone",
        limit=1.2,
    ),
    # Three times the requests a second and core.
    Goal(scenario="run-64", against="huggingface_hub", limit=1 / 3),
    Goal(scenario="run-64", against="httpx, by hand", limit=1 / 3),
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a goal is met.

    Attributes:
        goal: The goal.
        against: The client that the figure was compared with; for `PEERS`, the best peer's name.
        value: The figure, or the ratio; None if it was not measured.
        noise: The uncertainty of the value.
    """

    goal: Goal
    against: str = ""
    value: float | None = None
    noise: float = 0.0

    @property
    def is_met(self) -> bool:
        """Whether the value is within the limit."""
        return self.value is not None and self.value <= self.goal.limit

    @property
    def is_missed(self) -> bool:
        """Whether the value exceeds the limit by more than the noise."""
        return self.value is not None and self.value - self.noise > self.goal.limit


def judge(goal: Goal, results: Results) -> Verdict:
    """Return whether the goal is met by these results."""
    figures = results.get(goal.scenario, {})
    ours = figures.get(goal.client)
    if ours is None or not ours.figure:
        return Verdict(goal=goal)
    if not goal.against:
        return Verdict(goal=goal, value=ours.median, noise=estimate_noise(ours.figure))
    against: str | None = goal.against
    if against == PEERS:
        against = find_best_peer(goal.scenario, results)
    if against is None or against not in figures or not figures[against].figure:
        return Verdict(goal=goal)
    value, uncertainty = ours.ratio(figures[against])
    return Verdict(goal=goal, against=against, value=value, noise=uncertainty)


def find_best_peer(scenario: str, results: Results, loop: str = "") -> str | None:
    """Return the peer with the lowest figure; `loop` is "uvloop" for peers on uvloop."""
    medians = {
        name: figures.median
        for name, figures in results.get(scenario, {}).items()
        if figures.figure
        and not name.startswith(("floor", "hfgen"))
        and not name.endswith(", alone")
        and name.endswith(", uvloop") == (loop == "uvloop")
    }
    return min(medians, key=lambda name: medians[name], default=None)
