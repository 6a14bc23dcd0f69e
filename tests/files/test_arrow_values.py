"""Values of Arrow that Python or JSON cannot represent."""

import datetime as dt

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfgen._files.arrow_values import convert_column
from hfgen._files.prompt import Prompt
from hfgen._files.row import Row, encode

INFINITY = 2**63 - 1


def as_json(array):
    """Return the values as they are in the output."""
    return msgspec.json.decode(encode(convert_column(pa, array)))


def times(*values, kind):
    width = pa.int32() if kind.bit_width == 32 else pa.int64()
    return pa.array(values, width).cast(kind)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pa.date32(), 2**31 - 1, "+5881580-07-11"),
        (pa.date32(), -719_162, "0001-01-01"),
        (pa.date32(), -719_163, "0000-12-31"),
        (pa.date32(), 2_932_897, "+010000-01-01"),
        (pa.date64(), 86_400_000 * 2_932_897, "+010000-01-01"),
        (pa.timestamp("us"), INFINITY, "+294247-01-10T04:00:54.775807"),
        (pa.timestamp("us"), -INFINITY, "-290308-12-21T19:59:05.224193"),
        (pa.timestamp("us", "UTC"), INFINITY, "+294247-01-10T04:00:54.775807Z"),
        (pa.timestamp("s", "Asia/Tokyo"), 253_402_300_799, "9999-12-31T23:59:59Z"),
        (pa.timestamp("s", "Asia/Tokyo"), 0, "1970-01-01T09:00:00+09:00"),
        (pa.timestamp("ms", "Mars/Phobos"), 5, "1970-01-01T00:00:00.005000Z"),
        (pa.timestamp("ns"), 1, "1970-01-01T00:00:00.000000001"),
        (pa.timestamp("ns"), 0, "1970-01-01T00:00:00"),
        (pa.timestamp("ns"), -1000, "1969-12-31T23:59:59.999999"),
        (pa.timestamp("ns", "UTC"), 1, "1970-01-01T00:00:00.000000001Z"),
        (pa.timestamp("ns", "Asia/Tokyo"), 1, "1970-01-01T09:00:00.000000001+09:00"),
        (pa.time64("ns"), 3_723_000_000_001, "01:02:03.000000001"),
        (pa.time64("ns"), 3_723_000_001_000, "01:02:03.000001"),
        (pa.duration("ns"), 1, "PT0.000000001S"),
        (pa.duration("ns"), -86_405_000_000_000, "-P1DT5S"),
        (pa.duration("ns"), 0, "P0D"),
        (pa.duration("s"), 2**62, "P53375995583650DT27904S"),
    ],
)
def test_times_that_python_cannot_represent(kind, value, text):
    assert as_json(times(value, None, kind=kind)) == [text, None]
    nested = pa.StructArray.from_arrays([times(value, kind=kind)], ["at"])
    assert as_json(pa.array([[{"at": None}]], pa.list_(nested.type))) == [[{"at": None}]]
    assert as_json(pa.ListArray.from_arrays([0, 1], nested)) == [[{"at": text}]]
    row = Row(0, {"at": convert_column(pa, times(value, kind=kind))[0]})
    assert Prompt("{at}")(row) == {"inputs": text}


def test_the_others_of_the_column_stay_as_they_are():
    array = times(0, INFINITY, 5, kind=pa.timestamp("us"))
    assert as_json(array) == [
        "1970-01-01T00:00:00", "+294247-01-10T04:00:54.775807", "1970-01-01T00:00:00.000005",
    ]  # fmt: skip


@given(st.integers(-(9 * 10**15), 9 * 10**15))
def test_nanoseconds_are_written_as_other_times_are(value):
    """As msgspec writes Python's own types."""
    for kind, finer in [
        (pa.timestamp("us"), pa.timestamp("ns")),
        (pa.timestamp("us", "America/New_York"), pa.timestamp("ns", "America/New_York")),
        (pa.duration("us"), pa.duration("ns")),
    ]:
        assert as_json(times(value * 1000, kind=finer)) == as_json(times(value, kind=kind))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_an_offset_with_seconds_is_not_shortened(unit):
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    kind = pa.timestamp(unit, "Europe/Berlin")
    array = times(-(10**9) * 5 * scale, 0, None, kind=kind)
    expected = ["1811-07-23T15:06:40Z", "1970-01-01T01:00:00+01:00", None]
    assert as_json(array) == expected
    nested = pa.StructArray.from_arrays([array], ["at"])
    assert as_json(nested) == [{"at": text} for text in expected]


def test_a_map_with_nanoseconds():
    array = pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.timestamp("ns")))
    assert as_json(array) == [[["a", "1970-01-01T00:00:00.000000001"]], None]


def test_a_dictionary_with_times():
    array = times(INFINITY, 0, INFINITY, kind=pa.timestamp("us")).dictionary_encode()
    assert [text[:6] for text in as_json(array)] == ["+29424", "1970-0", "+29424"]


def test_dates_have_no_quotes_in_a_prompt():
    row = Row(0, {"day": dt.date(2026, 1, 2), "n": 3})
    assert Prompt("{day}: {n}")(row) == {"inputs": "2026-01-02: 3"}
