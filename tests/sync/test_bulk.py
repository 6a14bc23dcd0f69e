"""What only the sync side has: threads, signals, forks."""

import dis
import functools
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise

import pytest

import hfgen
import hfgen._sync.bulk as bulk_module
from hfgen.testing import Hang, Pause, tokens

STORY = tokens("a", "b")
STUCK = tokens("a", Hang())


@pytest.fixture
def client():
    with hfgen.Client(retry=hfgen.Retry(backoff=0.01)) as client:
        yield client
    gc.collect()


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    until = time.monotonic() + 10
    while threads() and time.monotonic() < until:
        time.sleep(0.01)
    assert threads() == []


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("hfgen-bulk")]


def many(client, server, rows, **options):
    return client.generate_many(rows, api_url=f"{server.url}/generate", **options)


def python(script):
    """Run a script in a process of its own, where a warning is an error."""
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def test_there_are_as_many_threads_as_requests_at_once(client, serve):
    seen = set()

    def rows():
        for _ in range(50):
            seen.update(threads())
            yield "row"

    server = serve(STORY)
    assert len(list(many(client, server, rows(), concurrency=4))) == 50
    assert 1 <= len(seen) <= 4
    assert threads() == []


def test_rows_are_taken_in_the_thread_that_iterates(client, serve):
    taken_in = set()

    def rows():
        for number in range(30):
            taken_in.add(threading.current_thread())
            yield number

    def request(number):
        taken_in.add(threading.current_thread())
        return f"{number}"

    assert len(list(many(client, serve(STORY), rows(), request=request))) == 30
    assert taken_in == {threading.current_thread()}


def test_requests_go_on_while_the_caller_is_elsewhere(client, serve):
    server = serve(STORY)
    bulk = many(client, server, map(str, itertools.count()), concurrency=4)
    next(bulk)
    asked = len(server.requests)
    server.request(asked + 1)
    bulk.close()


def test_an_input_that_is_slow_holds_results_up_no_longer_than_one_row(client, serve):
    waited = threading.Event()

    def rows():
        yield "one"
        time.sleep(0.2)
        yield "two"
        time.sleep(0.2)
        yield "three"
        waited.set()
        yield "four"

    bulk = many(client, serve(STORY), rows(), concurrency=2)
    next(bulk)
    assert not waited.is_set()
    assert len(list(bulk)) == 3


def test_closing_from_another_thread(client, serve):
    server = serve(STUCK)
    bulk = many(client, server, ["row"] * 10, concurrency=3)
    timer = threading.Timer(0.3, bulk.close)
    timer.start()
    with pytest.raises(hfgen.StreamClosedError):
        next(bulk)
    timer.join()
    assert server.wait_until_idle()


def test_dropping_it_ends_all(client, serve):
    server = serve(lambda r: STORY if r.json["inputs"] == "0" else STUCK)
    bulk = many(client, server, map(str, range(10)), concurrency=3)
    next(bulk)
    del bulk
    gc.collect()
    assert server.wait_until_idle()


def test_breaking_out_ends_all(client, serve):
    server = serve(lambda r: STORY if r.json["inputs"] == "0" else STUCK)
    for _ in many(client, server, map(str, range(10)), concurrency=3):
        break
    assert threads() == []
    assert server.wait_until_idle()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_in_next_closes_all(client, serve):
    server = serve(STUCK)
    bulk = many(client, server, ["row"] * 10, concurrency=3)

    def interrupt():
        server.request(2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        next(bulk)
    thread.join()
    assert server.wait_until_idle()
    with pytest.raises(hfgen.StreamClosedError):
        next(bulk)


@functools.cache
def find_interruptible(code):
    """Return where signal handlers run: after calls, at the start of functions and in loops."""
    return {
        after.offset
        for before, after in pairwise(dis.get_instructions(code))
        if before.opname.startswith(("CALL", "RESUME", "JUMP_BACKWARD"))
    }


def test_ctrl_c_anywhere_in_next_closes_all(client):
    """Interrupts `next` at each place of hfgen's and `threading`'s code where Python may."""
    files = (bulk_module.__file__, threading.__file__)
    steps = 0

    def interrupt_at(number):
        def trace(frame, event, _):
            nonlocal steps
            if frame.f_code.co_filename not in files or frame.f_code.co_name == "__del__":
                return None
            frame.f_trace_opcodes = True
            if event == "opcode" and frame.f_lasti in find_interruptible(frame.f_code):
                steps += 1
                if steps == number:
                    raise KeyboardInterrupt
            return trace

        return trace

    def answer(_):
        time.sleep(0.001)
        return hfgen.FetchResponse(status=200, headers={}, body=[b'{"generated_text": "a"}'])

    for number in itertools.count(1):
        steps = 0
        bulk = client.generate_many(
            map(str, range(4)), api_url="http://x/generate", fetch=answer, stream=False,
            concurrency=2,
        )  # fmt: skip
        before = sys.gettrace()
        sys.settrace(interrupt_at(number))
        try:
            next(bulk)
        except KeyboardInterrupt:
            continue
        finally:
            sys.settrace(before)
        bulk.close()
        break
    assert number > 100


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_signal_handler_may_drain(client, serve):
    server = serve(tokens("a", Pause(0.01), "b"))
    bulk = many(client, server, map(str, itertools.count()), concurrency=3)
    before = signal.signal(signal.SIGUSR1, lambda *_: bulk.drain())
    try:
        results = []
        for result in bulk:
            results.append(result)
            if len(results) == 5:
                os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert 5 <= len(results) == len(server.requests)
    assert all(result.ok for result in results)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_no_part_in_it(serve):
    server = serve(tokens("a", Pause(0.05), "b"))
    out = python(f"""
import gc, os, hfgen, warnings
warnings.simplefilter("ignore", DeprecationWarning)
with hfgen.Client(api_url="{server.url}/generate") as client:
    bulk = client.generate_many(map(str, range(20)), concurrency=4)
    results = [next(bulk)]
    child = os.fork()
    if not child:
        try:
            next(bulk)
        except hfgen.HfgenError as error:
            print(error, flush=True)
        bulk.close()
        del bulk
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    results += bulk
    assert len(results) == 20 and all(result.ok for result in results)
""")
    assert "process" in out


def test_a_process_that_ends_in_the_middle_leaves_nothing(serve):
    server = serve(lambda r: STORY if r.json["inputs"] == "0" else STUCK)
    python(f"""
import hfgen
import hfgen._sync.bulk as bulk_module
client = hfgen.Client(api_url="{server.url}/generate")
bulk = client.generate_many(map(str, range(10)), concurrency=3)
next(bulk)
""")
    assert server.wait_until_idle()


def test_an_async_input_is_refused(client):
    async def rows():
        yield "row"

    with pytest.raises(hfgen.InvalidRequestError, match="async_generator"):
        client.generate_many(rows())
