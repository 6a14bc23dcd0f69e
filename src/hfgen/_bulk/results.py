"""What a bulk run gives back: a `BulkResult` for each row, in a queue, and statistics. Pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hfgen._core.errors import StatusError

if TYPE_CHECKING:
    from hfgen._core.answers import Details, GeneratedText
    from hfgen._core.errors import HfgenError

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult(Generic[Row]):
    """The result of one row of `generate_many`: answers, or an error.

    Attributes:
        index: The row's position in the input, from 0.
        row: The row as it was given.
        answers: What `Client.run` would have returned; empty if there is an error. Their details
            contain tokens only if the row's `parameters.details` asked for them.
        error: The error of the last attempt, or the error for which the row makes no request; None
            if there are answers.
        attempts: How many requests were sent for the row.
        server: The `api_url` of the last attempt; empty if there was none.
        latency: Seconds that the last attempt took; None if there was none.
        time_to_first_token: Seconds until the first token of the last attempt; None if the answer
            was not read as a stream, or had no token.
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
        """Whether there are answers and no error."""
        return self.error is None

    @property
    def generated_text(self) -> str | None:
        """The text of the first answer; None if there is an error."""
        return self.answers[0].generated_text if self.answers else None

    @property
    def finish_reason(self) -> str | None:
        """Why the first answer ended (as `"length"`); None if the server does not report it."""
        details = self._details
        return details.finish_reason if details else None

    @property
    def generated_tokens(self) -> int | None:
        """The number of tokens of all answers; None if the server does not report it."""
        counts = [
            answer.details.generated_tokens if answer.details else None for answer in self.answers
        ]
        reported = [count for count in counts if count is not None]
        return sum(reported) if reported and len(reported) == len(counts) else None

    @property
    def input_length(self) -> int | None:
        """The number of tokens of the prompt; None if the server does not report it."""
        details = self._details
        return details.input_length if details else None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a dict: a row of a table, or JSON if `row` can be JSON.

        The keys are `index`, `row`, `generated_text`, `finish_reason`, `generated_tokens`,
        `input_length`, `answers` (as dicts), `error` (`type`, `message`, `status` and `attempts`,
        or None), `attempts`, `server`, `latency` and `time_to_first_token`.
        """
        return {
            "index": self.index,
            "row": self.row,
            "generated_text": self.generated_text,
            "finish_reason": self.finish_reason,
            "generated_tokens": self.generated_tokens,
            "input_length": self.input_length,
            "answers": [answer.to_dict() for answer in self.answers],
            "error": error_fields(self),
            "attempts": self.attempts,
            "server": self.server,
            "latency": self.latency,
            "time_to_first_token": self.time_to_first_token,
        }

    @property
    def _details(self) -> Details | None:
        return self.answers[0].details if self.answers else None


def error_fields(result: BulkResult[Any]) -> dict[str, Any] | None:
    """Return the error of a result as `type`, `message`, `status` and `attempts`; None if none."""
    error = result.error
    if error is None:
        return None
    return {
        "type": type(error).__name__,
        # A message from a server or a file system may contain surrogates, which UTF-8 lacks.
        "message": error.message.encode("utf-8", "replace").decode(),
        "status": error.status if isinstance(error, StatusError) else None,
        "attempts": result.attempts,
    }


class Outbox(Generic[Row]):
    """The queue of results that have not been handed out yet.

    Args:
        ordered: Whether results come out in the order of their rows, and wait for those before;
            otherwise they come out in the order in which they were put in.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._ready: deque[BulkResult[Row]] = deque()
        # If ordered, by index: results that wait for earlier rows, and None for skipped rows.
        self._early: dict[int, BulkResult[Row] | None] = {}
        self._next_index = 0

    def put(self, result: BulkResult[Row]) -> None:
        """Add a result."""
        if self._ordered:
            self._early[result.index] = result
            self._append_early_in_order()
        else:
            self._ready.append(result)

    def skip(self, index: int) -> None:
        """Wait no longer for this row: it gets no result."""
        if self._ordered:
            self._early[index] = None
            self._append_early_in_order()

    def take(self) -> BulkResult[Row] | None:
        """Return the next result, None if there is none yet."""
        return self._ready.popleft() if self._ready else None

    @property
    def has_next(self) -> bool:
        """Whether `take` has a result."""
        return bool(self._ready)

    def __len__(self) -> int:
        return len(self._ready) + len(self._early)

    def _append_early_in_order(self) -> None:
        while self._next_index in self._early:
            if (result := self._early.pop(self._next_index)) is not None:
                self._ready.append(result)
            self._next_index += 1


@dataclass(slots=True)
class ServerStatistics:
    """Counts of one server, in `BulkStatistics.servers`.

    Attributes:
        url: Its `api_url`.
        in_flight: How many requests are under way there.
        window: How many requests at once are allowed there now.
        rests: Whether it gets no requests for a while, because it has failed or asked for a pause.
        answered: How many requests it has answered.
        failed: How many requests have failed there, for whatever reason.
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
        succeeded: How many rows have answers, handed out or in the queue.
        failed: How many rows have an error, handed out or in the queue.
        in_flight: How many requests are under way.
        waiting: How many rows wait for their first attempt, or for another one.
        retries: How many attempts have begun that were not the first one of their row.
        overloads: How many attempts failed because the server had too much to do, or because this
            process may open no more files.
        input_length: Tokens in the prompts of the rows that succeeded, as far as servers report it.
        generated_tokens: Tokens in the answers of these rows, as far as servers report it.
        errors: How many rows failed, by the class of their error (as `"ValidationError"`).
        servers: The counts of each server.
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
        """How many rows have answers or an error."""
        return self.succeeded + self.failed

    @property
    def concurrency(self) -> int:
        """How many requests at once are allowed now, over all servers."""
        return sum(server.window for server in self.servers)
