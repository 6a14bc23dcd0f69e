"""Times and numbers as people read them. No I/O."""

from __future__ import annotations

# From here on decimals say nothing.
_LARGE = 100
# What is shorter than this is 1000 ms at most.
_SMALL = 0.9995
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_UNITS = (
    (_DAY, "d", _HOUR, "h"),
    (_HOUR, "h", _MINUTE, "min"),
    (_MINUTE, "min", 1, "s"),
)


def duration(seconds: float) -> str:
    """Return a duration in at most two units: "8.2 ms", "4.35 s", "12 min 5 s", "3 h 20 min"."""
    if 0 < seconds < _SMALL:
        return f"{seconds * 1000:.3g} ms"
    for unit, name, lesser, lesser_name in _UNITS:
        # Rounded first: there is no minute of 60 seconds.
        count = round(seconds / lesser)
        if count * lesser >= unit:
            return f"{count * lesser // unit} {name} {count % (unit // lesser)} {lesser_name}"
    return f"{seconds:.3g} s"


def number(value: float) -> str:
    """Return a number with its thousands apart, and decimals only where it is small."""
    if value >= _LARGE or value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.1f}"
