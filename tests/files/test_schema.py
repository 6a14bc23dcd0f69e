"""Types for columns that come as JSON."""

import io

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfgen._files.schema import Shape

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def column(values):
    """Type and values, as Parquet would have them."""
    shape = Shape()
    for value in values:
        shape.add(value)
    array = pa.array([shape.fitted(value) for value in values], shape.arrow(pa))
    return str(array.type), array.to_pylist()


@pytest.mark.parametrize(
    ("values", "kind", "kept"),
    [
        ([None, None], "string", [None, None]),
        ([True, None], "bool", [True, None]),
        ([1, -(2**63)], "int64", [1, -(2**63)]),
        ([1, 0.5], "double", [1.0, 0.5]),
        (["a", None], "string", ["a", None]),
        ([1, "a"], "string", ["1", "a"]),
        ([True, 1], "string", ["true", "1"]),
        ([2**63, 1], "string", ["9223372036854775808", "1"]),
        ([[1], [], None], "list<item: int64>", [[1], [], None]),
        ([[1], [0.5, None]], "list<item: double>", [[1.0], [0.5, None]]),
        ([[1, "a"]], "list<item: string>", [["1", "a"]]),
        ([[1], 1], "string", ["[1]", "1"]),
        ([{"a": 1}, {"b": None}], "struct<a: int64, b: string>",
         [{"a": 1, "b": None}, {"a": None, "b": None}]),
        ([{"a": {"b": [1]}}, {"a": {"b": "x"}}], "struct<a: struct<b: string>>",
         [{"a": {"b": "[1]"}}, {"a": {"b": "x"}}]),
        ([{}, {}], "string", ["{}", "{}"]),
        ([{"a": 1}, "b", {"a": 2}], "string", ['{"a":1}', "b", '{"a":2}']),
    ],
)  # fmt: skip
def test_the_rule(values, kind, kept):
    assert column(values) == (kind, kept)


def test_an_object_of_many_names_is_a_map():
    kind, kept = column([{f"key {n}": n} for n in range(300)])
    assert kind == "string"
    assert kept[7] == '{"key 7":7}'


@pytest.mark.parametrize(("begin", "end"), ["[]", ('{"a":', "}")])
def test_what_is_nested_deeper_than_can_be_read_is_text_there(begin, end):
    value = msgspec.json.decode(begin * 900 + "1" + end * 900)
    shape, file = Shape(), io.BytesIO()
    shape.add(value)
    pq.write_table(pa.table({"a": pa.array([shape.fitted(value)], shape.arrow(pa))}), file)
    (kept,) = pq.read_table(file)["a"].to_pylist()
    for _ in range(32):
        (kept,) = kept.values() if isinstance(kept, dict) else kept
    assert kept == begin * 868 + "1" + end * 868


@given(st.lists(JSON, max_size=5))
def test_any_json_gets_a_type(values):
    _, kept = column(values)
    assert [value is None for value in kept] == [value is None for value in values]
