"""The outbox of results, in both orders."""

import json
import random

import hfgen
from hfgen._bulk.results import Outbox
from hfgen.types import BulkResult, Details, GeneratedText


def test_a_result_as_a_dict_can_be_json():
    details = Details(finish_reason="length", generated_tokens=3, input_length=2)
    answered = BulkResult(
        index=1,
        row="x",
        answers=[GeneratedText(generated_text="a", details=details)],
        attempts=2,
        server="http://a",
        latency=0.5,
    )
    row = answered.to_dict()
    assert json.loads(json.dumps(row)) == row
    assert (row["generated_text"], row["finish_reason"], row["generated_tokens"]) == (
        "a", "length", 3
    )  # fmt: skip
    assert row["answers"] == [answered.answers[0].to_dict()]
    assert row["error"] is None

    failed = BulkResult(
        index=0, row={"a": 1}, error=hfgen.RateLimitError("busy", status=429), attempts=4
    )
    row = failed.to_dict()
    assert json.loads(json.dumps(row)) == row
    assert row["error"] == {
        "type": "RateLimitError", "message": "busy", "status": 429, "attempts": 4
    }  # fmt: skip
    assert (row["row"], row["generated_text"], row["answers"]) == ({"a": 1}, None, [])


def take_all(outbox):
    results = []
    while outbox.has_next:
        results.append(outbox.take().index)
    assert outbox.take() is None
    return results


def result(index):
    return BulkResult(index=index, row=None)


def test_outbox_gives_results_as_they_come():
    outbox = Outbox(ordered=False)
    for index in (2, 0, 1):
        outbox.put(result(index))
    outbox.skip(3)
    assert len(outbox) == 3
    assert take_all(outbox) == [2, 0, 1]
    assert len(outbox) == 0


def test_ordered_outbox_waits_for_earlier_rows():
    outbox = Outbox(ordered=True)
    outbox.put(result(2))
    outbox.put(result(1))
    assert take_all(outbox) == []
    assert len(outbox) == 2
    outbox.put(result(0))
    assert take_all(outbox) == [0, 1, 2]
    assert len(outbox) == 0


def test_ordered_outbox_does_not_wait_for_skipped_rows():
    outbox = Outbox(ordered=True)
    outbox.put(result(1))
    outbox.put(result(3))
    outbox.skip(2)
    outbox.skip(0)
    assert take_all(outbox) == [1, 3]


def test_ordered_outbox_sorts_any_order():
    for seed in range(20):
        indices = list(range(50))
        random.Random(seed).shuffle(indices)
        outbox = Outbox(ordered=True)
        came = []
        for index in indices:
            outbox.put(result(index))
            came += take_all(outbox)
        assert came == list(range(50))
