"""Durations and numbers as text for people. No I/O."""

from __future__ import annotations

# Numbers from here on are shown without decimals.
_LARGE = 100
# Shorter durations are shown in milliseconds. A longer one would round to "1e+03 ms".
_SMALL = 0.9995
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_UNITS = (
    (_DAY, "d", _HOUR, "h"),
    (_HOUR, "h", _MINUTE, "min"),
    (_MINUTE, "min", 1, "s"),
)


def format_duration(seconds: float) -> str:
    """Return a duration in at most two units: "8.2 ms", "4.35 s", "12 min 5 s", "3 h 20 min"."""
    if 0 < seconds < _SMALL:
        return f"{seconds * 1000:.3g} ms"
    for unit, name, lesser, lesser_name in _UNITS:
        # Rounded before it is divided: 119.9 s are "2 min 0 s", not "1 min 60 s".
        count = round(seconds / lesser)
        if count * lesser >= unit:
            return f"{count * lesser // unit} {name} {count % (unit // lesser)} {lesser_name}"
    return f"{seconds:.3g} s"


def format_number(value: float) -> str:
    """Return a number with commas between thousands; small ones get one decimal."""
    if value >= _LARGE or value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.1f}"
