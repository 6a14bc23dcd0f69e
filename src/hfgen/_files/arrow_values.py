"""Converts values of Arrow to Python's own.

Times that Python cannot represent become text as in ISO 8601: those with nanoseconds, and those
outside of the years 1 to 9999, as which some databases store "infinity". Such years have a sign and
six digits, as in JavaScript. A time is given in UTC if its zone is unknown to this system, if it
would lie outside of these years in its zone, or if the offset of its zone had seconds, as before
time zones were introduced: ISO 8601 has only hours and minutes.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

from hfgen._files.row import UnreadableValue, encode

# What pyarrow raises for a value that Python cannot represent; its own errors are subclasses.
_CONVERSION_ERRORS = (ArithmeticError, LookupError, NotImplementedError, ValueError)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_SECONDS = 86_400
# The days from 0001-01-01 to 1970-01-01, and those of 400 years, after which the calendar repeats.
_DAYS_TO_EPOCH, _CYCLE_DAYS, _CYCLE_YEARS = 719_162, 146_097, 400
_YEARS = range(10_000)


def convert_column(pa: Any, column: Any) -> list[Any]:
    """Return the values of an Arrow array; `UnreadableValue` for those that cannot be read.

    Args:
        pa: pyarrow.
        column: The array.
    """
    kind = str(column.type)
    # With pandas installed, pyarrow returns times with nanoseconds as types of pandas.
    is_readable = "[ns" not in kind
    if "tz=" in kind:
        is_readable &= pa.types.is_timestamp(column.type)
    if is_readable:
        with suppress(*_CONVERSION_ERRORS):
            values: list[Any] = column.to_pylist()
            if "tz=" not in kind or not any(map(_has_odd_offset, values)):
                return values
    return [_convert_value(pa, scalar) for scalar in column]


def _convert_value(pa: Any, scalar: Any) -> Any:
    problems: list[str] = []
    value = _read_scalar(pa, scalar, problems)
    return UnreadableValue(value, problems[0]) if problems else value


def _read_scalar(pa: Any, scalar: Any, problems: list[str]) -> Any:
    """Return the value; add to `problems` if it, or a value inside it, cannot be read."""
    if not scalar.is_valid:
        return None
    if isinstance(scalar, (pa.DictionaryScalar, pa.ExtensionScalar)):
        return _read_scalar(pa, scalar.value, problems)
    if isinstance(scalar, pa.StructScalar):
        fields = [scalar.type.field(index).name for index in range(scalar.type.num_fields)]
        return {
            name: _read_scalar(pa, scalar[index], problems) for index, name in enumerate(fields)
        }
    if isinstance(scalar, pa.MapScalar):
        return [
            [_read_scalar(pa, pair[index], problems) for index in (0, 1)] for pair in scalar.values
        ]
    if isinstance(scalar, pa.ListScalar):
        return [_read_scalar(pa, item, problems) for item in scalar.values]
    return _read_leaf(pa, scalar, problems)


def _read_leaf(pa: Any, scalar: Any, problems: list[str]) -> Any:
    try:
        if getattr(scalar.type, "unit", "") != "ns":
            return _read_moment(scalar)
    except UnicodeDecodeError as error:
        problems.append(f"not UTF-8: byte {error.object[error.start]:#04x} at {error.start}")
        return error.object.decode("utf-8", "replace")
    except _CONVERSION_ERRORS as error:
        if not pa.types.is_temporal(scalar.type):
            problems.append(str(error))
            return None
    return _format_time(pa, scalar)


def _format_time(pa: Any, scalar: Any) -> str:
    kind, is_type = scalar.type, pa.types
    if is_type.is_timestamp(kind):
        return _format_timestamp(pa, scalar.value, kind.unit, kind.tz)
    if is_type.is_date(kind):
        days = scalar.value if is_type.is_date32(kind) else scalar.value // (_DAY_SECONDS * 1000)
        return _format_date(days)
    if is_type.is_time(kind):
        seconds, rest = divmod(scalar.value, _PER_SECOND[kind.unit])
        return _format_clock(seconds) + _format_fraction(rest, kind.unit)
    return _format_duration(scalar.value, kind.unit)


def _format_timestamp(pa: Any, value: int, unit: str, zone: str | None) -> str:
    seconds, rest = divmod(value, _PER_SECOND[unit])
    try:
        moment = encode(_read_moment(pa.scalar(seconds, pa.timestamp("s", zone)))).decode()[1:-1]
        # Without a fraction and before the offset, such a text always has this length.
        text, offset = moment[:19], moment[19:]
    except _CONVERSION_ERRORS:
        days, second = divmod(seconds, _DAY_SECONDS)
        text, offset = f"{_format_date(days)}T{_format_clock(second)}", "Z" if zone else ""
    return text + _format_fraction(rest, unit) + offset


def _read_moment(scalar: Any) -> Any:
    value = scalar.as_py()
    return value.astimezone(UTC) if _has_odd_offset(value) else value


def _has_odd_offset(value: Any) -> bool:
    offset = value.utcoffset() if isinstance(value, datetime) else None
    return offset is not None and offset.seconds % 60 != 0


def _format_date(days: int) -> str:
    """Return the date that is this number of days after 1970-01-01."""
    cycles, day = divmod(days + _DAYS_TO_EPOCH, _CYCLE_DAYS)
    in_cycle = date.fromordinal(day + 1)
    year = in_cycle.year + cycles * _CYCLE_YEARS
    year_text = f"{year:04}" if year in _YEARS else f"{year:+07}"
    return f"{year_text}-{in_cycle.month:02}-{in_cycle.day:02}"


def _format_clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _format_duration(value: int, unit: str) -> str:
    seconds, rest = divmod(abs(value), _PER_SECOND[unit])
    days, seconds = divmod(seconds, _DAY_SECONDS)
    fraction = _format_fraction(rest, unit).rstrip("0")
    text = f"{days}D" * (days > 0) + f"T{seconds}{fraction}S" * bool(seconds or fraction)
    return "-" * (value < 0) + "P" + (text or "0D")


def _format_fraction(rest: int, unit: str) -> str:
    """Return the digits behind the second: none, six, or nine if these are not enough."""
    nanoseconds = rest * (10**9 // _PER_SECOND[unit])
    if not nanoseconds:
        return ""
    return f".{nanoseconds:09}" if nanoseconds % 1000 else f".{nanoseconds // 1000:06}"
