"""The Parquet types of columns that come as JSON.

The rule, for a column and for what is inside its lists and objects: if all values are of one kind
(nulls aside), it gets the type of that kind; whole numbers among fractional ones are taken for
such. Everything else is text: strings as they are, the rest as JSON; so is what is nested deeper
than Parquet's readers follow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from hfgen._files.row import encode

# An object of more names than that is a map from keys to values, not a record with columns.
_MOST_FIELDS = 256
# Readers of Parquet refuse a schema of more than 100 levels, of which a list has two.
_DEEPEST = 32
_INT64 = range(-(2**63), 2**63)

Kind: TypeAlias = Literal["null", "bool", "int", "float", "string", "list", "object", "json"]

_KINDS: dict[type, Kind] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "string",
    list: "list",
    dict: "object",
}


@dataclass
class Shape:
    """What the values have been so far.

    Attributes:
        kind: Of which kind they are; "json" if of several.
        item: The shape of the elements, for lists.
        fields: The shapes of the values, for objects.
        depth: How many lists and objects may be inside one another from here on.
    """

    kind: Kind = "null"
    item: Shape | None = None
    fields: dict[str, Shape] = field(default_factory=dict)
    depth: int = _DEEPEST

    def add(self, value: Any) -> None:
        """Take another value into account."""
        kind = _kind(value)
        if kind == "null" or self.kind == "json":
            return
        if kind in {"list", "object"} and not self.depth:
            kind = "json"
        if self.kind not in {"null", kind}:
            kind = "float" if {self.kind, kind} == {"int", "float"} else "json"
        self.kind = kind
        if kind == "list":
            self.item = self.item or Shape(depth=self.depth - 1)
            for each in value:
                self.item.add(each)
        elif kind == "object":
            for name, each in value.items():
                self.fields.setdefault(name, Shape(depth=self.depth - 1)).add(each)
            if len(self.fields) > _MOST_FIELDS:
                self.kind = "json"

    @property
    def is_text(self) -> bool:
        # Parquet has no column without a type, and no object without a field.
        return self.kind in {"null", "string", "json"} or (
            self.kind == "object" and not self.fields
        )

    def arrow(self, pa: Any) -> Any:
        """Return the type that all of the values fit into, once `fitted`."""
        if self.is_text:
            return pa.string()
        if self.kind == "list":
            assert self.item is not None
            return pa.list_(self.item.arrow(pa))
        if self.kind == "object":
            return pa.struct([(name, shape.arrow(pa)) for name, shape in self.fields.items()])
        return {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}[self.kind]

    def fitted(self, value: Any) -> Any:
        """Return the value as one of the column's type."""
        if value is None:
            return None
        if self.is_text:
            return value if isinstance(value, str) else encode(value).decode()
        if self.kind == "list":
            assert self.item is not None
            return [self.item.fitted(each) for each in value]
        if self.kind == "object":
            return {name: shape.fitted(value.get(name)) for name, shape in self.fields.items()}
        return float(value) if self.kind == "float" else value


def _kind(value: Any) -> Kind:
    if type(value) is int and value not in _INT64:
        return "json"
    return _KINDS[type(value)]
