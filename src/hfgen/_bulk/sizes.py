"""`measure_bytes`: about how much memory a row or an answer takes. Pure."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

# Objects that are looked at in a value. A row with more of them, such as a vector of numbers,
# counts as less than it has; looking at all of them would take longer than sending the row.
_MAX_OBJECTS = 1000


def measure_bytes(*values: Any) -> int:
    """Return about how many bytes these values have in memory, with what they hold.

    It looks into dicts, lists, tuples, dataclasses and msgspec's structs. An object that occurs
    several times counts once.
    """
    total = 0
    pending, seen = list(values), set[int]()
    while pending and len(seen) < _MAX_OBJECTS:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, msgspec.Raw):
            # `sys.getsizeof` returns any number for it (msgspec 0.20).
            total += memoryview(value).nbytes
            continue
        total += sys.getsizeof(value, 0)
        if isinstance(value, dict):
            pending.extend(dict.values(value))
        elif isinstance(value, list | tuple):
            pending.extend(value[:_MAX_OBJECTS])
        elif (names := _field_names(value)) and not isinstance(value, type):
            pending.extend(getattr(value, name, None) for name in names)
    return total


def _field_names(value: Any) -> tuple[str, ...]:
    fields = getattr(value, "__struct_fields__", None) or getattr(value, "__dataclass_fields__", ())
    return tuple(fields)
