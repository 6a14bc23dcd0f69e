"""Rows from an iterator that blocks."""

import asyncio
import queue

import pytest

from hfgen._cli.bulk.input_thread import ThreadedRows


async def test_all_rows_in_order():
    assert [row async for row in ThreadedRows(iter(range(5000)))] == list(range(5000))


async def test_waiting_for_a_row_stops_nothing_else():
    rows = queue.Queue()
    feed = ThreadedRows(iter(rows.get, None))
    waiting = asyncio.ensure_future(anext(feed))
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert not waiting.done()
    rows.put("a row")
    assert await waiting == "a row"
    rows.put(None)
    with pytest.raises(StopAsyncIteration):
        await anext(feed)


async def test_it_reads_no_more_than_a_little_ahead():
    read, enough = 0, asyncio.Event()
    loop = asyncio.get_running_loop()

    def endless():
        nonlocal read
        while True:
            read += 1
            if read == 258:
                loop.call_soon_threadsafe(enough.set)
            yield read

    feed = ThreadedRows(endless())
    assert await anext(feed) == 1
    await asyncio.wait_for(enough.wait(), 30)
    await asyncio.sleep(0.01)
    assert read == 258


async def test_what_the_rows_raise_comes_after_them():
    def torn():
        yield 1
        raise OSError("torn")

    feed = ThreadedRows(torn())
    assert await anext(feed) == 1
    for _ in range(2):
        with pytest.raises(OSError, match="torn"):
            await anext(feed)
