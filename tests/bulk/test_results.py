"""Results as they come, and in order."""

import random

from hfgen import BulkResult
from hfgen._bulk.results import Outbox


def taken(outbox):
    results = []
    while outbox.has_next:
        results.append(outbox.take().index)
    assert outbox.take() is None
    return results


def result(index):
    return BulkResult(index=index, row=None)


def test_as_they_come():
    outbox = Outbox(ordered=False)
    for index in (2, 0, 1):
        outbox.put(result(index))
    outbox.skip(3)
    assert len(outbox) == 3
    assert taken(outbox) == [2, 0, 1]
    assert len(outbox) == 0


def test_in_order_they_wait_for_those_before():
    outbox = Outbox(ordered=True)
    outbox.put(result(2))
    outbox.put(result(1))
    assert taken(outbox) == []
    assert len(outbox) == 2
    outbox.put(result(0))
    assert taken(outbox) == [0, 1, 2]
    assert len(outbox) == 0


def test_in_order_a_row_without_a_result_holds_nothing_up():
    outbox = Outbox(ordered=True)
    outbox.put(result(1))
    outbox.put(result(3))
    outbox.skip(2)
    outbox.skip(0)
    assert taken(outbox) == [1, 3]


def test_any_order_comes_out_in_order():
    for seed in range(20):
        indices = list(range(50))
        random.Random(seed).shuffle(indices)
        outbox = Outbox(ordered=True)
        came = []
        for index in indices:
            outbox.put(result(index))
            came += taken(outbox)
        assert came == list(range(50))
