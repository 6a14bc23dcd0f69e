"""Makes the request of a row: the prompt from its columns, and its own parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from string import Formatter
from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core.errors import InvalidRequestError
from hfgen._core.server_json import DECODE_ERRORS
from hfgen._files.row import encode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from hfgen._files.row import Row

_COLUMNS = ("inputs", "prompt")


class Prompt:
    """Makes a request of each row that it is called with.

    The prompt is the filled-in template; without a template, it is the column `inputs` or `prompt`.
    Parameters in the row's own column `parameters` (an object, or one as JSON text) replace those
    of `parameters`. A null there changes nothing, because a row of Parquet cannot omit a field.

    Args:
        template: Text with names of columns in braces: "Translate: {text}"; `{{` is a brace. Text
            of a column is inserted unchanged, and so are dates and other values that JSON has as
            text; other values are inserted as JSON.
        parameters: Parameters of all requests.

    Raises:
        InvalidRequestError: The template has a syntax error.
    """

    def __init__(
        self,
        template: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._parts = None if template is None else _parse_template(template)
        self._parameters = dict(parameters or {})

    def __call__(self, row: Row) -> dict[str, Any]:
        """Return the request for the row.

        Raises:
            InvalidRequestError: The row has no prompt, or could not be read.
        """
        if row.problem is not None:
            raise InvalidRequestError(row.problem)
        request: dict[str, Any] = {"inputs": self._make_prompt(row)}
        parameters = {**self._parameters, **_read_own_parameters(row)}
        if parameters:
            request["parameters"] = parameters
        return request

    def check_columns(self, rows: Iterable[Row]) -> None:
        """Check that there is a row for each column that the prompt needs.

        Args:
            rows: Rows of the input; no more are taken than are needed.

        Raises:
            InvalidRequestError: There are rows that can be read, and none has such a column.
        """
        columns: dict[str, None] = {}
        problem = None
        for row in rows:
            if row.problem is None:
                columns.update(dict.fromkeys(row.columns))
                problem = self._find_problem(columns, "the input")
                if problem is None:
                    return
        if problem is not None:
            raise InvalidRequestError(problem)

    def _find_problem(self, columns: Collection[str], owner: str) -> str | None:
        """Return why no prompt can be made of the owner's columns; None if one can."""
        if self._parts is None and not any(column in columns for column in _COLUMNS):
            return (
                f"no prompt: {owner} has no column `inputs` or `prompt`; make one of its columns "
                f"({_list_names(columns)}) with a template"
            )
        for _, column in self._parts or ():
            if column is not None and column not in columns:
                return (
                    f"the template names the column {column!r}, {owner} has {_list_names(columns)}"
                )
        return None

    def _make_prompt(self, row: Row) -> str:
        problem = self._find_problem(row.columns, "the row")
        if problem is not None:
            raise InvalidRequestError(problem)
        if self._parts is not None:
            return "".join(
                literal + (_column_text(row, column) if column is not None else "")
                for literal, column in self._parts
            )
        name = next(column for column in _COLUMNS if column in row.columns)
        value = row.value(name)
        if not isinstance(value, str):
            raise InvalidRequestError(f"the column `{name}` does not hold text: {value!r:.80}")
        return value


def _parse_template(template: str) -> list[tuple[str, str | None]]:
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise InvalidRequestError(
            f"the template cannot be read: {error}; write a literal brace twice: {{{{"
        ) from None
    for _, column, form, conversion in parsed:
        if column == "" or form or conversion:
            raise InvalidRequestError(
                "in the template, braces may contain only the name of a column (not "
                f"{column!r}, {conversion!r}, {form!r}); write a literal brace twice: {{{{"
            )
    return [(literal, column) for literal, column, *_ in parsed]


def _column_text(row: Row, column: str) -> str:
    value = row.value(column)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        kind = "null" if value is None else value
        raise InvalidRequestError(f"the template names the column {column!r}, which is {kind}")
    # Values that JSON does not have are text: a template has them without quotes.
    value = msgspec.to_builtins(value, enc_hook=str)
    return value if isinstance(value, str) else encode(value).decode()


def _read_own_parameters(row: Row) -> Mapping[str, Any]:
    value = row.value("parameters") if "parameters" in row.columns else None
    if isinstance(value, str) and value:
        # From CSV, where all values are text.
        try:
            value = msgspec.json.decode(value)
        except DECODE_ERRORS as error:
            raise InvalidRequestError(f"the row's `parameters` are not JSON: {error}") from None
    if not value and not isinstance(value, bool):
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"the row's `parameters` are not an object: {value!r:.80}")
    return {name: parameter for name, parameter in value.items() if parameter is not None}


def _list_names(columns: Collection[str]) -> str:
    return ", ".join(map(repr, columns)) or "none"
