"""What came of a row."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from hfgen._core.answers import Details, GeneratedText
    from hfgen._core.errors import HfgenError

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult(Generic[Row]):
    """What came of one row of `generate_many`: answers, or an error.

    Attributes:
        index: The row's position in the input, from 0.
        row: The row as it was given.
        answers: What `Client.run` would have returned; empty if there is an error. Tokens are among
            their details only if the row's `parameters.details` asked for them.
        error: Why there is no answer: the error of the last attempt.
        attempts: How often a server was asked.
        server: The `api_url` that was asked last; empty if none was.
        latency: Seconds that the last attempt took, None if there was none.
        time_to_first_token: Seconds until the first token of the last attempt; None where it was
            not read as a stream, or brought none.
    """

    index: int
    row: Row
    answers: list[GeneratedText] = field(default_factory=list)
    error: HfgenError | None = None
    attempts: int = 0
    server: str = ""
    latency: float | None = None
    time_to_first_token: float | None = None

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.error is None

    @property
    def generated_text(self) -> str | None:
        """The text of the first answer."""
        return self.answers[0].generated_text if self.answers else None

    @property
    def finish_reason(self) -> str | None:
        """Why the first answer ended, None where the server does not say."""
        details = self._details
        return details.finish_reason if details else None

    @property
    def generated_tokens(self) -> int | None:
        """How many tokens all answers have, None where the server does not say."""
        counts = [a.details.generated_tokens if a.details else None for a in self.answers]
        known = [count for count in counts if count is not None]
        return sum(known) if known and len(known) == len(counts) else None

    @property
    def input_length(self) -> int | None:
        """How many tokens the prompt has, None where the server does not say."""
        details = self._details
        return details.input_length if details else None

    @property
    def _details(self) -> Details | None:
        return self.answers[0].details if self.answers else None


class Outbox(Generic[Row]):
    """Takes results in, and gives them out."""

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._ready: deque[BulkResult[Row]] = deque()
        # In order: those that others come before; None for a row that has no result.
        self._early: dict[int, BulkResult[Row] | None] = {}
        self._next = 0

    def put(self, result: BulkResult[Row]) -> None:
        """Take in a result."""
        if self._ordered:
            self._early[result.index] = result
            self._advance()
        else:
            self._ready.append(result)

    def skip(self, index: int) -> None:
        """Take in that a row will have no result."""
        if self._ordered:
            self._early[index] = None
            self._advance()

    def take(self) -> BulkResult[Row] | None:
        """Return the next result, None if there is none yet."""
        return self._ready.popleft() if self._ready else None

    @property
    def has_next(self) -> bool:
        """Whether `take` has one."""
        return bool(self._ready)

    def __len__(self) -> int:
        return len(self._ready) + len(self._early)

    def _advance(self) -> None:
        while self._next in self._early:
            if (result := self._early.pop(self._next)) is not None:
                self._ready.append(result)
            self._next += 1


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
