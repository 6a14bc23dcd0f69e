"""Results that wait to be handed out: as they come, or in the order of the input. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from hfgen._bulk.results import BulkResult

Row = TypeVar("Row")


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
