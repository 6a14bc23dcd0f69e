"""What only the async side has: async inputs, cancellation, loops that end."""

import asyncio
import gc
import itertools
import subprocess
import sys

import pytest

import hfgen
from hfgen.testing import Hang, Pause, status, tokens

STORY = tokens("a", "b")
STUCK = tokens("a", Hang())


def python(script):
    """Run a script in a process of its own, where a warning is an error and a leak shows."""
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # In its development mode asyncio reports what is slow.
    assert [line for line in done.stderr.splitlines() if "took" not in line] == []
    assert done.returncode == 0
    return done.stdout


@pytest.fixture
async def client():
    async with hfgen.AsyncClient(retry=hfgen.Retry(backoff=0.01)) as client:
        yield client
    gc.collect()


def many(client, server, rows, **options):
    return client.generate_many(rows, api_url=f"{server.url}/generate", **options)


async def none_left():
    """Wait until no task is left but this one."""
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
    assert len(asyncio.all_tasks()) == 1


class TestInput:
    async def test_may_be_async(self, client, serve):
        async def rows():
            for number in range(30):
                await asyncio.sleep(0)
                yield f"row {number}"

        results = [r async for r in many(client, serve(STORY), rows(), ordered=True)]
        assert [result.row for result in results] == [f"row {number}" for number in range(30)]

    async def test_is_asked_for_one_row_at_a_time_and_only_as_needed(self, client, serve):
        class Rows:
            taken = under_way = 0

            def __aiter__(self):
                return self

            async def __anext__(self):
                assert not self.under_way
                self.under_way += 1
                await asyncio.sleep(0)
                self.under_way -= 1
                self.taken += 1
                return "row"

        rows = Rows()
        async with many(client, serve(STORY), rows, concurrency=2) as bulk:
            await anext(bulk)
            await asyncio.sleep(0.5)
            held = rows.taken
            assert held <= 11
            await asyncio.sleep(0.2)
            assert rows.taken == held

    async def test_that_is_slow_holds_no_result_up(self, client, serve):
        more = asyncio.Event()

        async def rows():
            yield "one"
            yield "two"
            await more.wait()
            yield "three"

        bulk = many(client, serve(STORY), rows())
        assert {(await anext(bulk)).row, (await anext(bulk)).row} == {"one", "two"}
        more.set()
        assert [result.row async for result in bulk] == ["three"]

    async def test_that_raises_does_so_after_the_rows_before(self, client, serve):
        async def rows():
            yield "one"
            yield "two"
            raise LookupError("no more")

        bulk = many(client, serve(STORY), rows())
        assert {(await anext(bulk)).row, (await anext(bulk)).row} == {"one", "two"}
        with pytest.raises(LookupError, match="no more"):
            await anext(bulk)

    async def test_that_is_cancelled_by_itself_ends_it(self, client, serve):
        async def rows():
            yield "one"
            raise asyncio.CancelledError

        bulk = many(client, serve(STUCK), rows())
        with pytest.raises(asyncio.CancelledError):
            await anext(bulk)
        await none_left()

    async def test_is_ended_when_it_is_left(self, client, serve):
        ended = asyncio.Event()

        async def rows():
            try:
                for number in itertools.count():
                    yield f"row {number}"
            finally:
                ended.set()

        async with many(client, serve(STORY), rows(), concurrency=2) as bulk:
            await anext(bulk)
        del bulk
        gc.collect()
        await asyncio.wait_for(ended.wait(), 10)


class TestCancelling:
    async def test_who_waits_for_a_result_ends_it(self, client, serve):
        server = serve(STUCK)
        bulk = many(client, server, ["row"] * 10, concurrency=3)
        waiting = asyncio.ensure_future(anext(bulk))
        await asyncio.to_thread(server.request, 2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await asyncio.to_thread(server.wait_until_left)
        await none_left()
        with pytest.raises(hfgen.StreamClosedError):
            await anext(bulk)

    async def test_by_a_time_limit(self, client, serve):
        bulk = many(client, serve(STUCK), ["row"] * 10)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(bulk), 0.3)
        await none_left()

    async def test_closing_while_a_task_waits(self, client, serve):
        server = serve(STUCK)
        bulk = many(client, server, ["row"] * 10, concurrency=3)
        waiting = asyncio.ensure_future(anext(bulk))
        await asyncio.to_thread(server.request, 2)
        await bulk.aclose()
        with pytest.raises(hfgen.StreamClosedError):
            await waiting
        assert len(asyncio.all_tasks()) == 1

    async def test_dropping_it_ends_all(self, client, serve):
        server = serve(lambda r: STORY if r.json["inputs"] == "0" else STUCK)
        bulk = many(client, server, map(str, range(10)), concurrency=3)
        await anext(bulk)
        del bulk
        gc.collect()
        await none_left()
        assert await asyncio.to_thread(server.wait_until_left)

    async def test_breaking_out_ends_all_at_once(self, client, serve):
        server = serve(lambda r: STORY if r.json["inputs"] == "0" else STUCK)
        bulk = many(client, server, map(str, range(10)), concurrency=3)
        async for _ in bulk:
            break
        await none_left()
        assert await asyncio.to_thread(server.wait_until_left)
        with pytest.raises(hfgen.StreamClosedError):
            await anext(bulk)

    async def test_one_attempt_by_a_stranger_ends_it(self, client, serve):
        server = serve(STUCK)
        bulk = many(client, server, ["row"] * 3)
        waiting = asyncio.ensure_future(anext(bulk))
        await asyncio.to_thread(server.request)
        for task in asyncio.all_tasks() - {asyncio.current_task(), waiting}:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_two_tasks_cannot_wait_for_one_result(client, serve):
    bulk = many(client, serve(STUCK), ["row"])
    waiting = asyncio.ensure_future(anext(bulk))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(bulk)
    await bulk.aclose()
    with pytest.raises(hfgen.StreamClosedError):
        await waiting


async def test_on_retry_may_be_awaited(client, serve):
    told = []

    async def on_retry(attempt, wait, error):
        await asyncio.sleep(0)
        told.append((attempt, error.status))

    server = serve(status(500), STORY)
    results = [r async for r in many(client, server, ["row"], on_retry=on_retry)]
    assert results[0].ok
    assert told == [(1, 500)]


async def test_results_come_as_they_are_ready(client, serve):
    def answered(request):
        return STORY if request.json["inputs"] == "quick" else tokens("a", Pause(1), "b")

    bulk = many(client, serve(answered), ["slow", "quick"], concurrency=2)
    assert [result.row async for result in bulk] == ["quick", "slow"]


async def test_another_thread_may_drain(client, serve):
    server = serve(tokens("a", Pause(0.01), "b"))
    bulk = many(client, server, map(str, itertools.count()), concurrency=3)
    results = []
    async for result in bulk:
        results.append(result)
        if len(results) == 5:
            await asyncio.to_thread(bulk.drain)
    assert 5 <= len(results) == len(server.requests)


def test_another_loop_gets_a_clear_error(serve):
    client = hfgen.AsyncClient(api_url=serve(STORY).url)
    bulk = client.generate_many(["a", "b", "c"], concurrency=1)

    async def following():
        return await anext(bulk)

    asyncio.run(following())
    with pytest.raises(RuntimeError, match="event loop"):
        asyncio.run(following())


@pytest.mark.parametrize("how", ["return bulk", "raise SystemExit(0)", "return bulk.__aiter__()"])
def test_a_loop_that_ends_in_the_middle_leaves_nothing(serve, how):
    server = serve(lambda r: STORY if r.json["inputs"] == "0" else STUCK)
    python(f"""
import asyncio, gc, hfgen
client = hfgen.AsyncClient(api_url="{server.url}/generate")
async def main():
    bulk = client.generate_many(map(str, range(10)), concurrency=3)
    await anext(bulk)
    {how}
kept = asyncio.run(main())
gc.collect()
del kept
gc.collect()
""")
    assert server.wait_until_left()


def test_ctrl_c_leaves_nothing(serve):
    server = serve(STUCK)
    python(f"""
import asyncio, hfgen, os, signal, threading
async def main():
    async with hfgen.AsyncClient(api_url="{server.url}/generate") as client:
        async for result in client.generate_many(["row"] * 10):
            pass
threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT]).start()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
else:
    raise SystemExit(1)
""")
    assert server.wait_until_left()
