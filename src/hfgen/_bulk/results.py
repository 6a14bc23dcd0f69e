"""What came of a row."""

from __future__ import annotations

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
