"""What came of rows, as columns; of the same types in every block, whatever is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hfgen._files.record import error_fields

if TYPE_CHECKING:
    from hfgen._bulk.results import BulkResult

_ERROR = pa.struct(
    [
        ("type", pa.string()),
        ("message", pa.string()),
        ("status", pa.int64()),
        ("attempts", pa.int64()),
    ]
)


def with_answers(table: pa.Table, results: list[BulkResult[Any]]) -> pa.Table:
    """Return the table with what came of its rows.

    Args:
        table: The rows.
        results: What came of them, in their order.
    """
    columns = {
        "generated_text": pa.array([r.generated_text for r in results], pa.string()),
        "finish_reason": pa.array([r.finish_reason for r in results], pa.string()),
        "generated_tokens": pa.array([r.generated_tokens for r in results], pa.int64()),
        "error": pa.array([error_fields(r) for r in results], _ERROR),
    }
    kept = table.drop_columns([name for name in columns if name in table.column_names])
    for name, column in columns.items():
        kept = kept.append_column(name, column)
    return kept
