import asyncio
import threading

import pytest

from hfgen.server.http.channel import Channel, Mailbox


async def test_items_come_in_order():
    channel = Channel(asyncio.get_running_loop())
    for item in range(3):
        channel.put(item)
    assert [await channel.get() for _ in range(3)] == [0, 1, 2]


async def test_a_reader_waits():
    channel = Channel(asyncio.get_running_loop())
    reader = asyncio.create_task(channel.get())
    await asyncio.sleep(0)
    channel.put("a")
    channel.put("b")
    assert await reader == "a"
    assert await channel.get() == "b"


async def test_a_reader_that_gives_up_loses_nothing():
    channel = Channel(asyncio.get_running_loop())
    reader = asyncio.create_task(channel.get())
    await asyncio.sleep(0)
    channel.put("a")
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await channel.get() == "a"


async def test_a_waiting_reader_gets_none_again_and_again():
    channel = Channel(asyncio.get_running_loop(), keep_alive=0.005)
    assert [await channel.get() for _ in range(3)] == [None, None, None]
    channel.close()


async def test_a_busy_reader_gets_no_none():
    channel = Channel(asyncio.get_running_loop(), keep_alive=0.001)
    await asyncio.sleep(0.05)
    channel.put("a")
    assert await channel.get() == "a"
    channel.close()


async def test_many_posts_wake_the_loop_once(monkeypatch):
    loop = asyncio.get_running_loop()
    wakes = []
    call_soon_threadsafe = loop.call_soon_threadsafe

    def count_call(*args, **kwargs):
        wakes.append(args)
        return call_soon_threadsafe(*args, **kwargs)

    mailbox = Mailbox(loop)
    channels = [Channel(loop) for _ in range(10)]
    monkeypatch.setattr(loop, "call_soon_threadsafe", count_call)
    for channel in channels:
        mailbox.post(channel, "a")
    assert len(wakes) == 1
    assert [await channel.get() for channel in channels] == ["a"] * 10
    mailbox.post(channels[0], "b")
    assert len(wakes) == 2
    assert await channels[0].get() == "b"


async def test_nothing_is_lost_between_threads():
    loop = asyncio.get_running_loop()
    mailbox, channel = Mailbox(loop), Channel(loop)

    def post():
        for item in range(20_000):
            mailbox.post(channel, item)

    thread = threading.Thread(target=post)
    thread.start()
    for item in range(20_000):
        assert await channel.get() == item
    await asyncio.to_thread(thread.join)


def test_a_post_to_a_closed_loop_is_dropped():
    loop = asyncio.new_event_loop()
    mailbox, channel = Mailbox(loop), Channel(loop)
    loop.close()
    mailbox.post(channel, "a")
