"""A row of the input."""

import pickle

import msgspec
import pytest

from hfgen import InvalidRequestError
from hfgen._files.row import Row, encode, unreadable_row


def test_a_value_is_read_when_it_is_asked_for():
    row = Row(0, {"a": msgspec.Raw(b'{"b": [1.0]}'), "c": 2})
    assert (row.value("a"), row.value("c")) == ({"b": [1.0]}, 2)
    with pytest.raises(KeyError):
        row.value("d")


def test_a_value_that_python_has_not():
    with pytest.raises(InvalidRequestError, match="column 'a' cannot be read"):
        Row(0, {"a": msgspec.Raw(b"1e999")}).value("a")


def test_the_digest_is_that_of_the_columns():
    digests = {
        Row(0, {"a": "b"}).digest(),
        Row(0, {"a": "c"}).digest(),
        Row(0, {"b": "a"}).digest(),
        Row(0, {"a": msgspec.Raw(b"1.0")}).digest(),
        Row(0, {"a": msgspec.Raw(b"1.00")}).digest(),
        unreadable_row(0, "a", "b").digest(),
    }
    assert len(digests) == 6
    assert Row(7, {"a": "b"}).digest() in digests


def test_rows_pickle():
    row = Row(3, {"a": msgspec.Raw(b"[1]"), "b": "c"})
    assert encode(pickle.loads(pickle.dumps(row)).columns) == b'{"a":[1],"b":"c"}'
