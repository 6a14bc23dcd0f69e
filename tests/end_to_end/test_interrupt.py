"""Whatever ends a call before its time, wherever it waits: the server sees it hang up, and the
client and its other streams go on. (`benchmarks/interrupt_latency.py` measures how soon.)
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
        def answered(request):
            wanted = {"neighbour": NEIGHBOUR, "after": as_json({"generated_text": "after"})}
            return wanted.get(request.json["inputs"]) or STUCK[place]

        self.place = place
        self.server = serve(answered)
        self.verb = "run" if place == "run" else "stream_tokens"
        self._deaf = Deaf() if place == "connect" else None
        self.url = self._deaf.url if self._deaf else self.server.url

    def wait_until_stuck(self):
        """Wait until the second request is here, after the one of the neighbour."""
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
def where(request, serve):
    place = Stuck(serve, request.param)
    yield place
    place.close()


@contextmanager
def soon():
    """It takes much less than the timeouts, which are a minute and more."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 15


async def stuck(client, where):
    came = await getattr(client, where.verb)("stuck", api_url=where.url)
    async for _ in came:
        pass


async def by_cancelling(client, where):
    task = asyncio.create_task(stuck(client, where))
    await asyncio.to_thread(where.wait_until_stuck)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_timeout(client, where):
    async def expire(limit):
        await asyncio.to_thread(where.wait_until_stuck)
        limit.reschedule(asyncio.get_running_loop().time())

    async def limited():
        async with asyncio.timeout(None) as limit:
            expiring = asyncio.create_task(expire(limit))
            try:
                await stuck(client, where)
            finally:
                await expiring

    with pytest.raises(TimeoutError) as caught:
        await limited()
    assert not isinstance(caught.value, hfgen.HfgenError)


async def by_abort(client, where):
    controller = hfgen.AbortController()

    def abort():
        where.wait_until_stuck()
        controller.abort("enough")

    thread = threading.Thread(target=abort)
    thread.start()
    with pytest.raises(hfgen.AbortError, match="enough"):
        await stuck(client.with_options(signal=controller.signal), where)
    thread.join()


@pytest.mark.parametrize("interrupt", [by_cancelling, by_timeout, by_abort])
def test_async(where, interrupt):
    side = Async()

    async def main():
        async with hfgen.AsyncClient(api_url=where.server.url, max_retries=0) as client:
            neighbour = await client.stream_tokens("neighbour")
            assert await anext(neighbour) == "n"
            with soon():
                await interrupt(client, where)
                await asyncio.to_thread(where.wait_until_left)
            assert (await client.run("after"))[0].generated_text == "after"
            assert [text async for text in neighbour] == ["n"] * 4 + ["e"]
            # The neighbour's connection, and that of what came after: they may be the same.
            await asyncio.to_thread(few_connections, where.server)

    side.call(main)
    side.finish()
    gc.collect()


def few_connections(server):
    end = time.monotonic() + 10
    while server.open_connections > 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert server.open_connections <= 2


def test_sync_by_abort(where):
    side = Sync()
    client = side.client(api_url=where.server.url, max_retries=0)
    neighbour = client.stream_tokens("neighbour")
    assert next(neighbour) == "n"
    controller = hfgen.AbortController()

    def abort():
        where.wait_until_stuck()
        controller.abort("enough")

    thread = threading.Thread(target=abort)
    thread.start()
    with soon():
        with pytest.raises(hfgen.AbortError, match="enough"):
            list(getattr(client, where.verb)("stuck", api_url=where.url, signal=controller.signal))
        where.wait_until_left()
    thread.join()
    assert client.run("after")[0].generated_text == "after"
    assert list(neighbour) == ["n"] * 4 + ["e"]
    few_connections(where.server)
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
        # Its traceback holds all that was under way, and must not be what keeps it open.
        held = error
    print("interrupted", flush=True)
    assert sys.stdin.readline() == "seen\\n"
    assert client.run("after")[0].generated_text == "after"
    assert list(neighbour) == ["n"] * 4 + ["e"]
    assert not sockets._cuttable_sockets
    del held
gc.collect()
print("well")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for one process")
def test_sync_by_ctrl_c(where):
    # The ssl of Python leaves a socket open whose handshake Ctrl-C ends; it is shut down, though.
    known = "ignore:unclosed <ssl.SSLSocket:ResourceWarning"
    command = [
        sys.executable,
        "-W",
        "error",
        "-W",
        known,
        "-c",
        CHILD,
        where.server.url,
        where.url,
        where.verb,
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as child:
        try:
            where.wait_until_stuck()
            with soon():
                child.send_signal(signal.SIGINT)
                assert child.stdout.readline() == "interrupted\n"
                where.wait_until_left()
            out, err = child.communicate("seen\n", timeout=30)
        finally:
            child.kill()
    assert err == ""
    assert out == "well\n"
    few_connections(where.server)
