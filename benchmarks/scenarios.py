"""What is measured: each scenario, and the plan of the server for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.server import Plan

Kind = Literal["sync", "async", "local"]
Task = Literal["stream", "run", "many", "first", "idle", "import", "serve"]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One situation in which clients are compared.

    Attributes:
        name: Its name in the results.
        title: What it is, in a line.
        kind: Which side of the clients it is for; "local" for servers with the bundled model.
        task: What is done: read streams ("stream"), call `run`, generate for many rows at once
            ("many"), wait for the first token ("first"), hold streams open ("idle"), import the
            package ("import"), or serve a model ("serve").
        unit: The unit of the figure; less is better.
        streams: How many streams, or calls, at once.
        tokens: How many tokens a stream has.
        rate: Tokens a second of each stream; 0 for all at once.
        calls: How many calls, for `run`, `many`, `first` and `serve`.
        is_own: Whether it compares ways of calling hfgen, and no peers.
    """

    name: str
    title: str
    kind: Kind = "async"
    task: Task = "stream"
    unit: str = "µs CPU a token"
    streams: int = 1
    tokens: int = 1
    rate: float = 0.0
    calls: int = 0
    is_own: bool = False

    def plan(self) -> Plan:
        """Return how the server answers in this scenario."""
        return Plan(
            tokens=self.tokens,
            interval=1 / self.rate if self.rate else 0.0,
            holds=self.task == "idle",
            streams=self.streams if self.rate else 1,
        )

    def take_share(self, share: int) -> Scenario:
        """Return the scenario with one `share`-th of its calls, its streams, or its tokens."""
        if self.calls:
            return replace(self, calls=max(1, self.calls // share))
        if self.streams > 1:
            return replace(self, streams=max(1, self.streams // share))
        return replace(self, tokens=max(1, self.tokens // share))

    def shorten(self) -> Scenario:
        """Return the scenario with half of its calls and tokens, and as many streams at once."""
        # A burst takes no time, and in half of one a connection would cost twice as much a token.
        tokens = max(1, self.tokens // 2) if self.rate else self.tokens
        return replace(self, tokens=tokens, calls=self.calls // 2)


SCENARIOS = (
    Scenario(
        name="sync-1",
        title="one stream of 1,000 tokens/s, sync",
        kind="sync",
        tokens=2000,
        rate=1000,
    ),
    Scenario(
        name="async-1",
        title="one stream of 1,000 tokens/s, async",
        tokens=2000,
        rate=1000,
    ),
    Scenario(
        name="threads-100",
        title="100 threads, each with a stream of 50 tokens/s",
        kind="sync",
        streams=100,
        tokens=100,
        rate=50,
    ),
    Scenario(
        name="async-200",
        title="200 streams of 100 tokens/s at once, async",
        streams=200,
        tokens=200,
        rate=100,
    ),
    Scenario(
        name="async-1000",
        title="1,000 streams of 10 tokens/s at once, async",
        streams=1000,
        tokens=30,
        rate=10,
    ),
    Scenario(
        name="burst-sync",
        title="20,000 tokens that come all at once, sync",
        kind="sync",
        tokens=20_000,
    ),
    Scenario(
        name="burst-async",
        title="20,000 tokens that come all at once, async",
        tokens=20_000,
    ),
    Scenario(
        name="run-64",
        title="`run`, 64 at once, async",
        task="run",
        unit="µs CPU a request",
        streams=64,
        calls=1500,
    ),
    Scenario(
        name="run-64-threads",
        title="`run`, 64 threads",
        kind="sync",
        task="run",
        unit="µs CPU a request",
        streams=64,
        calls=1500,
    ),
    Scenario(
        name="many",
        title="1,000 rows, answered whole: `generate_many`, or `asyncio.gather` of all the calls",
        task="many",
        unit="µs CPU a row",
        calls=1000,
    ),
    Scenario(
        name="first-sync",
        title="time to the first token, sync",
        kind="sync",
        task="first",
        unit="µs, median of the calls",
        calls=200,
    ),
    Scenario(
        name="first-async",
        title="time to the first token, async",
        task="first",
        unit="µs, median of the calls",
        calls=200,
    ),
    Scenario(
        name="idle-1000",
        title="1,000 streams held open, async",
        task="idle",
        unit="KiB a stream",
        streams=1000,
    ),
    Scenario(
        name="import",
        title="importing the package, making a client",
        task="import",
        unit="ms CPU",
    ),
    Scenario(
        name="own-sync",
        title="what each option costs: one stream of 1,000 tokens/s, sync",
        kind="sync",
        tokens=2000,
        rate=1000,
        is_own=True,
    ),
    Scenario(
        name="own-async",
        title="what each option costs: 200 streams of 100 tokens/s, async",
        streams=200,
        tokens=200,
        rate=100,
        is_own=True,
    ),
    Scenario(
        name="own-burst",
        title="what each option costs: 20,000 tokens at once, sync",
        kind="sync",
        tokens=20_000,
        is_own=True,
    ),
    *(
        Scenario(
            name=f"serve-{streams}",
            title=f"the bundled model served, {streams} at once",
            kind="local",
            task="serve",
            streams=streams,
            tokens=64,
            calls=calls,
        )
        for streams, calls in ((1, 8), (8, 32), (64, 128))
    ),
)
