"""What the dispatcher and its shells hand each other: jobs, attempts, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hfgen._bulk.servers import Server
    from hfgen._core.answers import GeneratedText
    from hfgen._core.errors import HfgenError

Row = TypeVar("Row")


@dataclass(slots=True, eq=False)
class Job(Generic[Row]):
    """A row that has been taken, and has no result yet."""

    index: int
    row: Row
    request: Mapping[str, Any]
    stream: bool
    attempts: int = 0
    # Those of the attempts that failed and count.
    failures: int = 0
    last: Server | None = None


@dataclass(slots=True, eq=False)
class Attempt(Generic[Row]):
    """A row that is to be asked for now.

    Attributes:
        job: The row.
        server: Where.
        started: When.
        charged: For how many tokens it was charged.
    """

    job: Job[Row]
    server: Server
    started: float
    charged: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt went: its answers, or its error."""

    answers: list[GeneratedText] = field(default_factory=list)
    error: HfgenError | None = None
    time_to_first_token: float | None = None
