"""A row of the input: its columns, or the reason why it cannot be read."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from hfgen._core.errors import InvalidRequestError
from hfgen._core.server_json import DECODE_ERRORS


class UnreadableValue:
    """A value that cannot be read as it is in the input.

    Args:
        value: What can be read of it: this is written to the output.
        problem: Why the rest cannot be read.
    """

    __slots__ = ("problem", "value")

    def __init__(self, value: Any, problem: str) -> None:
        self.value = value
        self.problem = problem


def _simplify(value: Any) -> Any:
    # Parquet has types that JSON and msgspec lack: such values are written as `str(value)`.
    return value.value if isinstance(value, UnreadableValue) else str(value)


encode = msgspec.json.Encoder(enc_hook=_simplify).encode


class Row(msgspec.Struct, frozen=True):
    """A row of any format.

    Attributes:
        index: Its position in the input, from 0.
        columns: The values by name. A `msgspec.Raw` is JSON that is not decoded, and is written to
            the output byte for byte. A value that cannot be read is an `UnreadableValue`; the row
            can be used without it. A row that cannot be read has one column, `row`, with its text.
        problem: Why the row cannot be read; None if it can.
    """

    index: int
    columns: dict[str, Any]
    problem: str | None = None

    def value(self, column: str) -> Any:
        """Return the value of a column.

        Raises:
            KeyError: There is no such column.
            InvalidRequestError: The value cannot be read, or is JSON that Python cannot represent.
        """
        value = self.columns[column]
        if isinstance(value, UnreadableValue):
            raise _unreadable_error(column, value.problem)
        if not isinstance(value, msgspec.Raw):
            return value
        try:
            return msgspec.json.decode(value)
        except DECODE_ERRORS as error:
            raise _unreadable_error(column, str(error)) from None

    def digest(self) -> bytes:
        """Return an 8-byte hash of the columns."""
        return blake2b(encode(self.columns), digest_size=8).digest()


def _unreadable_error(column: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError(f"column {column!r} cannot be read: {problem}")


def unreadable_row(index: int, text: str, problem: str) -> Row:
    """Return the row that takes the place of one that cannot be read."""
    return Row(index, {"row": text}, problem)
