"""From a result to what is kept of it: a line of the output, and a note in the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import StatusError
from hfgen._files.row import encode

if TYPE_CHECKING:
    from hfgen._bulk.results import BulkResult
    from hfgen._files.row import Row

RESULT_COLUMNS = (
    "generated_text",
    "finish_reason",
    "generated_tokens",
    "details",
    "generated_texts",
    "error",
)
"""What is put to the columns of the input; columns of these names there are replaced."""

_RESULT_COLUMNS = frozenset(RESULT_COLUMNS)


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a finished row.

    Attributes:
        index: The row's position in the input.
        line: A line of JSON, with its end.
        error: The type of the error; None for a row that has text.
        generated_tokens: How many there were, None where nobody said.
        digest: `Row.digest`, where the input cannot be asked for it again.
    """

    index: int
    line: bytes
    error: str | None = None
    generated_tokens: int | None = None
    digest: bytes | None = None


class Records:
    """Makes records of results.

    Args:
        columns: Whether to put the input's columns into the line; they come first.
        details: Whether to put the `details` of the answer into it.
        digests: Whether to note what stands for the row: for an input that is read once.
    """

    def __init__(
        self, *, columns: bool = True, details: bool = False, digests: bool = False
    ) -> None:
        self._columns = columns
        self._details = details
        self._digests = digests

    def record(self, result: BulkResult[Row]) -> Record:
        """Return what is to be kept of the result."""
        row = result.row
        columns = {}
        if self._columns:
            columns = {k: v for k, v in row.columns.items() if k not in _RESULT_COLUMNS}
        error = error_fields(result)
        columns |= self._success(result) if error is None else {"error": error}
        return Record(
            row.index,
            encode(columns) + b"\n",
            None if error is None else error["type"],
            columns.get("generated_tokens"),
            row.digest() if self._digests else None,
        )

    def _success(self, result: BulkResult[Row]) -> dict[str, Any]:
        columns: dict[str, Any] = {
            "generated_text": result.generated_text,
            "finish_reason": result.finish_reason,
            "generated_tokens": result.generated_tokens,
        }
        if self._details:
            details = result.answers[0].details
            columns["details"] = None if details is None else details.to_dict()
        if len(result.answers) > 1:
            columns["generated_texts"] = [answer.generated_text for answer in result.answers]
        return columns


def error_fields(result: BulkResult[Any]) -> dict[str, Any] | None:
    """Return what is said of a row's error; None if it has none."""
    error = result.error
    if error is None:
        return None
    return {
        "type": type(error).__name__,
        # What came over a socket or from a file system need not be Unicode.
        "message": error.message.encode("utf-8", "replace").decode(),
        "status": error.status if isinstance(error, StatusError) else None,
        "attempts": result.attempts,
    }
