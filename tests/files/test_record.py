"""What is kept of a result."""

import json

import pytest

from helpers.finished_rows import result
from hfgen import InvalidRequestError, RateLimitError
from hfgen._bulk.results import BulkResult
from hfgen._files.record import RESULT_COLUMNS, RecordMaker
from hfgen._files.row import Row, unreadable_row
from hfgen.types import Details, GeneratedText

ROW = Row(4, {"id": 1, "inputs": "two words"})


def columns(result, **options):
    line = RecordMaker(**options).make_record(result).line
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return json.loads(line)


def test_a_row_with_text():
    assert list(columns(result(ROW)).items()) == [
        ("id", 1),
        ("inputs", "two words"),
        ("generated_text", "two words"),
        ("finish_reason", "length"),
        ("generated_tokens", 2),
    ]
    record = RecordMaker().make_record(result(ROW))
    assert (record.index, record.error, record.generated_tokens, record.digest) == (
        4,
        None,
        2,
        None,
    )


def test_the_index_is_that_of_the_row_where_others_were_skipped():
    shifted = BulkResult(index=0, row=ROW, answers=[GeneratedText(generated_text="a")])
    assert RecordMaker().make_record(shifted).index == 4


def test_a_row_with_an_error():
    error = RateLimitError("too\nmany \udcff", status=429)
    failed = BulkResult(index=4, row=ROW, error=error, attempts=3)
    assert columns(failed) == {
        "id": 1,
        "inputs": "two words",
        "error": {
            "type": "RateLimitError",
            "message": "too\nmany ?",
            "status": 429,
            "attempts": 3,
        },
    }
    assert RecordMaker().make_record(failed).error == "RateLimitError"


def test_a_row_that_could_not_be_read():
    assert columns(result(unreadable_row(0, "{", "not JSON: x"))) == {
        "row": "{",
        "error": {
            "type": "InvalidRequestError",
            "message": "not JSON: x",
            "status": None,
            "attempts": 0,
        },
    }


@pytest.mark.parametrize("came", ["text", "error"])
def test_an_earlier_output_as_input_is_overwritten(came):
    row = Row(0, dict.fromkeys(("inputs", *RESULT_COLUMNS), "old"))
    failed = BulkResult(index=0, row=row, error=InvalidRequestError("x"))
    new = columns(result(row) if came == "text" else failed)
    assert new.pop("inputs") == "old"
    if came == "text":
        assert new == {"generated_text": "old", "finish_reason": "length", "generated_tokens": 1}
    else:
        assert list(new) == ["error"]


def test_details_if_asked_for():
    details = Details(finish_reason="length", generated_tokens=2, seed=7)
    answer = GeneratedText(generated_text="a", details=details)
    done = BulkResult(index=0, row=ROW, answers=[answer])
    assert columns(done, details=True)["details"] == details.to_dict()
    bare = BulkResult(index=0, row=ROW, answers=[GeneratedText(generated_text="a")])
    assert columns(bare, details=True)["details"] is None


def test_several_answers():
    answers = [GeneratedText(generated_text=text) for text in "ab"]
    done = columns(BulkResult(index=0, row=ROW, answers=answers))
    assert (done["generated_text"], done["generated_texts"]) == ("a", ["a", "b"])


def test_the_inputs_columns_may_be_left_out():
    assert list(columns(result(ROW), columns=False)) == [
        "generated_text",
        "finish_reason",
        "generated_tokens",
    ]


def test_the_digest_is_noted_where_the_input_is_read_once():
    assert RecordMaker(digests=True).make_record(result(ROW)).digest == ROW.digest()
