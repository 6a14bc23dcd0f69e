"""The outbox of results, in both orders."""

import random

from hfgen._bulk.results import Outbox
from hfgen.types import BulkResult


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
