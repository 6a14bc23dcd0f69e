"""Makes a `Record` of a result: a line for the output, and fields for the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hfgen._bulk.results import error_fields
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
"""The columns that the output has besides those of the input. They replace columns of the input
that have the same names."""

_RESULT_COLUMNS = frozenset(RESULT_COLUMNS)


@dataclass(frozen=True, slots=True)
class Record:
    """What the store keeps of a finished row.

    Attributes:
        index: The row's position in the input.
        line: A line of JSON, with its line end.
        error: The type of the error; None for a row that has text.
        generated_tokens: The number of tokens, None if the server did not report it.
        digest: `Row.digest`, if the input can be read only once; else None.
    """

    index: int
    line: bytes
    error: str | None = None
    generated_tokens: int | None = None
    digest: bytes | None = None


class RecordMaker:
    """Makes a `Record` of each result.

    Args:
        columns: Whether the line has the columns of the input, before those of the result.
        details: Whether the line has the `details` of the answer.
        digests: Whether the record has the digest of the row.
    """

    def __init__(
        self, *, columns: bool = True, details: bool = False, digests: bool = False
    ) -> None:
        self._columns = columns
        self._details = details
        self._digests = digests

    def make_record(self, result: BulkResult[Row]) -> Record:
        """Return the record of the result."""
        row = result.row
        columns = {}
        if self._columns:
            columns = {k: v for k, v in row.columns.items() if k not in _RESULT_COLUMNS}
        error = error_fields(result)
        columns |= self._text_columns(result) if error is None else {"error": error}
        return Record(
            row.index,
            encode(columns) + b"\n",
            None if error is None else error["type"],
            columns.get("generated_tokens"),
            row.digest() if self._digests else None,
        )

    def _text_columns(self, result: BulkResult[Row]) -> dict[str, Any]:
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
