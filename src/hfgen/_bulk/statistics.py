"""What has been, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class ServerStatistics:
    """One of the servers of a `BulkStatistics`.

    Attributes:
        url: Its `api_url`.
        in_flight: How many requests are under way there.
        window: How many at once it seems to take.
        rests: Whether it is left alone, because it failed or asked for it.
        answered: How many requests it has answered.
        failed: How many have failed there, for whatever reason.
    """

    url: str
    in_flight: int = 0
    window: int = 0
    rests: bool = False
    answered: int = 0
    failed: int = 0


@dataclass(slots=True)
class BulkStatistics:
    """Counts of `generate_many`, which change while it runs.

    Attributes:
        taken: How many rows have been taken from the input.
        succeeded: How many have answers, handed out or about to be.
        failed: How many have an error, handed out or about to be.
        in_flight: How many requests are under way.
        waiting: How many rows wait to be asked, or asked again.
        retries: How many attempts have followed the first one of their row.
        overloads: How many attempts the server refused because it had too much to do.
        input_length: Tokens in the prompts of the rows that succeeded, as far as servers said.
        generated_tokens: Tokens in their answers, likewise.
        errors: How many rows failed, by the class of their error (`"ValidationError"`).
        servers: The same by server.
    """

    taken: int = 0
    succeeded: int = 0
    failed: int = 0
    in_flight: int = 0
    waiting: int = 0
    retries: int = 0
    overloads: int = 0
    input_length: int = 0
    generated_tokens: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    servers: list[ServerStatistics] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many rows have come to an end, with answers or an error."""
        return self.succeeded + self.failed

    @property
    def concurrency(self) -> int:
        """How many requests at once all servers together seem to take."""
        return sum(server.window for server in self.servers)
