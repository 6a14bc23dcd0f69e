"""A row of the input: its columns, or what kept it from being read."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from hfgen._core.dialects.base import DECODE_ERRORS
from hfgen._core.errors import InvalidRequestError

# Parquet has types that JSON lacks; what msgspec does not know is written as `str` has it.
encode = msgspec.json.Encoder(enc_hook=str).encode


class Row(msgspec.Struct, frozen=True):
    """A row, wherever it came from.

    Attributes:
        index: Its position in the input, from 0.
        columns: Name to value. A `msgspec.Raw` is JSON that nobody has looked into: it is written
            as it came, to the last digit. A row that could not be read has one column, `row`, with
            its text.
        problem: Why it could not be read; None for a row that could.
    """

    index: int
    columns: dict[str, Any]
    problem: str | None = None

    def value(self, column: str) -> Any:
        """Return the value of a column.

        Raises:
            KeyError: There is no such column.
            InvalidRequestError: It is JSON that Python cannot represent.
        """
        value = self.columns[column]
        if not isinstance(value, msgspec.Raw):
            return value
        try:
            return msgspec.json.decode(value)
        except DECODE_ERRORS as error:
            raise InvalidRequestError(f"column {column!r} cannot be read: {error}") from None

    def digest(self) -> bytes:
        """Return 8 bytes that stand for what is in the row."""
        return blake2b(encode(self.columns), digest_size=8).digest()


def unreadable(index: int, text: str, problem: str) -> Row:
    """Return the row that stands in the place of one that cannot be read."""
    return Row(index, {"row": text}, problem)
