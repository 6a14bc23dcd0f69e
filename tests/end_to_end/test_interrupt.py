"""A call that is interrupted, by any cause and wherever it waits: the server sees it hang up, and
the client and its other streams continue. (`benchmarks/interrupt_latency.py` measures how soon.)
"""

import asyncio
import gc
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

import hfgen
from helpers.scripted_answers import answer, as_json, events, token
from helpers.sync_and_async import Async, Sync
from hfgen.testing import Hang, Pause, chunk

PLACES = ["connect", "headers", "first_token", "between_tokens", "run"]
STUCK = {
    "headers": answer(Hang(), framing="raw"),
    "first_token": events(b":\n", Hang()),
    "between_tokens": events(token("a"), Hang()),
    "run": answer(b'{"generated_', Hang(), content_type="application/json"),
}
DRIP = [step for _ in range(5) for step in (chunk("n"), Pause(0.06))]
NEIGHBOUR = events(*DRIP, token("e", last="nnnnne"))


class Deaf:
    """Accepts one connection and says nothing, not even in a TLS handshake."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.reached, self.hung_up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self):
        self._listener.settimeout(20)
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(20)
            try:
                while connection.recv(65536):
                    self.reached.set()
            except ConnectionResetError:
                pass
            except TimeoutError:
                return
            self.hung_up.set()

    def close(self):
        self._thread.join()
        self._listener.close()


class Stuck:
    """A server on which one call gets stuck, while others are answered."""

    def __init__(self, serve, place):
        def choose_answer(request):
            answers = {"neighbour": NEIGHBOUR, "after": as_json({"generated_text": "after"})}
            return answers.get(request.json["inputs"]) or STUCK[place]

        self.place = place
        self.server = serve(choose_answer)
        self.verb = "run" if place == "run" else "stream_tokens"
        self._deaf = Deaf() if place == "connect" else None
        self.url = self._deaf.url if self._deaf else self.server.url

    def wait_until_stuck(self):
        """Wait until the stuck request has arrived, after the one of the neighbour."""
        if self._deaf:
            assert self._deaf.reached.wait(10)
        else:
            self.server.request(1)
        time.sleep(0.1)

    def wait_until_left(self):
        if self._deaf:
            assert self._deaf.hung_up.wait(10)
        else:
            assert self.server.request(1).hung_up.wait(10)

    def close(self):
        if self._deaf:
            self._deaf.close()


@pytest.fixture(params=PLACES)
def stuck_call(request, serve):
    place = Stuck(serve, request.param)
    yield place
    place.close()


@contextmanager
def within_the_timeouts():
    """Check that the block takes much less than the timeouts, which are a minute and more."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 15


async def read_until_stuck(client, stuck_call):
    result = await getattr(client, stuck_call.verb)("stuck", api_url=stuck_call.url)
    async for _ in result:
        pass


async def interrupt_by_cancelling(client, stuck_call):
    task = asyncio.create_task(read_until_stuck(client, stuck_call))
    await asyncio.to_thread(stuck_call.wait_until_stuck)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def interrupt_by_timeout(client, stuck_call):
    async def expire(limit):
        await asyncio.to_thread(stuck_call.wait_until_stuck)
        limit.reschedule(asyncio.get_running_loop().time())

    async def read_with_timeout():
        async with asyncio.timeout(None) as limit:
            expirer = asyncio.create_task(expire(limit))
            try:
                await read_until_stuck(client, stuck_call)
            finally:
                await expirer

    with pytest.raises(TimeoutError) as caught:
        await read_with_timeout()
    assert not isinstance(caught.value, hfgen.HfgenError)


async def interrupt_by_abort(client, stuck_call):
    controller = hfgen.AbortController()

    def abort():
        stuck_call.wait_until_stuck()
        controller.abort("enough")

    thread = threading.Thread(target=abort)
    thread.start()
    with pytest.raises(hfgen.AbortError, match="enough"):
        await read_until_stuck(client.with_options(signal=controller.signal), stuck_call)
    thread.join()


@pytest.mark.parametrize(
    "interrupt", [interrupt_by_cancelling, interrupt_by_timeout, interrupt_by_abort]
)
def test_an_interrupted_async_call_hangs_up(stuck_call, interrupt):
    side = Async()

    async def main():
        async with hfgen.AsyncClient(api_url=stuck_call.server.url, max_retries=0) as client:
            neighbour = await client.stream_tokens("neighbour")
            assert await anext(neighbour) == "n"
            with within_the_timeouts():
                await interrupt(client, stuck_call)
                await asyncio.to_thread(stuck_call.wait_until_left)
            assert (await client.run("after"))[0].generated_text == "after"
            assert [text async for text in neighbour] == ["n"] * 4 + ["e"]
            # The neighbour's connection, and that of what came after: they may be the same.
            await asyncio.to_thread(check_connections_closed, stuck_call.server)

    side.call(main)
    side.finish()
    gc.collect()


def check_connections_closed(server):
    end = time.monotonic() + 10
    while server.open_connections > 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert server.open_connections <= 2


def test_an_aborted_sync_call_hangs_up(stuck_call):
    side = Sync()
    client = side.client(api_url=stuck_call.server.url, max_retries=0)
    neighbour = client.stream_tokens("neighbour")
    assert next(neighbour) == "n"
    controller = hfgen.AbortController()

    def abort():
        stuck_call.wait_until_stuck()
        controller.abort("enough")

    thread = threading.Thread(target=abort)
    thread.start()
    with within_the_timeouts():
        with pytest.raises(hfgen.AbortError, match="enough"):
            list(
                getattr(client, stuck_call.verb)(
                    "stuck", api_url=stuck_call.url, signal=controller.signal
                )
            )
        stuck_call.wait_until_left()
    thread.join()
    assert client.run("after")[0].generated_text == "after"
    assert list(neighbour) == ["n"] * 4 + ["e"]
    check_connections_closed(stuck_call.server)
    side.finish()


CHILD = """
import gc, sys
import hfgen
from hfgen._sync import sockets
server, url, verb = sys.argv[1:]
with hfgen.Client(api_url=server, max_retries=0) as client:
    neighbour = client.stream_tokens("neighbour")
    assert next(neighbour) == "n"
    try:
        list(getattr(client, verb)("stuck", api_url=url))
    except KeyboardInterrupt as error:
        # Its traceback refers to the stuck call, and must not keep its connection open.
        kept_error = error
    print("interrupted", flush=True)
    assert sys.stdin.readline() == "seen\\n"
    assert client.run("after")[0].generated_text == "after"
    assert list(neighbour) == ["n"] * 4 + ["e"]
    assert not sockets._cuttable_sockets
    del kept_error
gc.collect()
print("well")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for one process")
def test_a_sync_call_interrupted_by_ctrl_c_hangs_up(stuck_call):
    # If Ctrl-C ends a TLS handshake, Python's ssl leaves the socket open, though shut down.
    ignored = "ignore:unclosed <ssl.SSLSocket:ResourceWarning"
    command = [
        sys.executable,
        "-W",
        "error",
        "-W",
        ignored,
        "-c",
        CHILD,
        stuck_call.server.url,
        stuck_call.url,
        stuck_call.verb,
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as child:
        try:
            stuck_call.wait_until_stuck()
            with within_the_timeouts():
                child.send_signal(signal.SIGINT)
                assert child.stdout.readline() == "interrupted\n"
                stuck_call.wait_until_left()
            out, err = child.communicate("seen\n", timeout=30)
        finally:
            child.kill()
    assert err == ""
    assert out == "well\n"
    check_connections_closed(stuck_call.server)
