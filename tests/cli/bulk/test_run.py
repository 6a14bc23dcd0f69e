"""What comes, in batches."""

import asyncio
from contextlib import aclosing

import pytest

from hfgen._cli.bulk.run import collect_batches


async def yield_items(*items, after=()):
    for item in items:
        if isinstance(item, BaseException):
            raise item
        for wait in after:
            await wait()
        yield item


async def test_all_of_it_in_order_and_no_batch_is_empty():
    found = [batch async for batch in collect_batches(yield_items(*range(1000)), size=64)]
    assert [item for batch in found for item in batch] == list(range(1000))
    assert all(0 < len(batch) <= 128 for batch in found)


async def test_nothing():
    assert [batch async for batch in collect_batches(yield_items())] == []


async def test_an_item_does_not_wait_for_ever():
    more = asyncio.Event()

    async def slow():
        yield 1
        await more.wait()
        yield 2

    async with aclosing(collect_batches(slow(), seconds=0.01)) as found:
        assert await anext(found) == [1]
        more.set()
        assert await anext(found) == [2]
        with pytest.raises(StopAsyncIteration):
            await anext(found)


async def test_the_end_does_not_wait():
    found = await asyncio.wait_for(anext(collect_batches(yield_items(1, 2), seconds=3600)), 30)
    assert found == [1, 2]


async def test_items_come_on_while_a_batch_is_dealt_with_and_then_wait():
    count = 0

    async def endless():
        nonlocal count
        while True:
            count += 1
            yield count

    async with aclosing(collect_batches(endless(), size=10)) as found:
        assert len(await anext(found)) >= 10
        for _ in range(100):
            await asyncio.sleep(0)
        before = count
        assert 20 <= before <= 50
        await asyncio.sleep(0.01)
        assert count == before
        assert len(await anext(found)) == 20


async def test_what_came_before_an_error_is_given_first():
    found = collect_batches(yield_items(1, 2, OSError("no")), size=1)
    assert await anext(found) == [1, 2]
    with pytest.raises(OSError, match="no"):
        await anext(found)


async def test_leaving_it_closes_what_it_takes_from():
    closed = asyncio.Event()

    async def yield_and_wait():
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.set()

    source = yield_and_wait()
    async with aclosing(collect_batches(source, seconds=0.001)) as found:
        assert await anext(found) == [1]
    await asyncio.wait_for(closed.wait(), 30)
