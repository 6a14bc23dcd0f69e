"""AbortController and AbortSignal."""

import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from hfgen import AbortController, AbortError


def test_from_not_aborted_to_aborted():
    controller = AbortController()
    signal = controller.signal
    assert (signal.aborted, signal.reason) == (False, None)
    signal.throw_if_aborted()
    assert not signal.wait(0)
    assert "not aborted" in repr(signal)
    controller.abort("enough")
    assert (signal.aborted, signal.reason) == (True, "enough")
    assert signal.wait(0)
    assert signal.wait()
    assert repr(signal) == "<AbortSignal aborted>"
    with pytest.raises(AbortError, match="enough") as caught:
        signal.throw_if_aborted()
    assert caught.value.reason == "enough"


def test_only_the_first_abort_counts():
    controller, calls = AbortController(), []
    controller.signal.subscribe(lambda: calls.append(1))
    controller.abort("first")
    controller.abort("second")
    assert controller.signal.reason == "first"
    assert calls == [1]


def test_without_a_reason():
    controller = AbortController()
    controller.abort()
    error = controller.signal.error("so far")
    assert error.reason is None
    assert error.text == "so far"
    assert "None" not in str(error)


def test_listeners():
    controller, calls = AbortController(), []
    unsubscribe = controller.signal.subscribe(lambda: calls.append("off"))
    controller.signal.subscribe(lambda: calls.append("a"))
    controller.signal.subscribe(lambda: calls.append("b"))
    unsubscribe()
    unsubscribe()
    controller.abort()
    assert calls == ["a", "b"]
    controller.signal.subscribe(lambda: calls.append("late"))()
    assert calls == ["a", "b", "late"]


def test_a_listener_may_abort_and_unsubscribe():
    controller, calls = AbortController(), []

    def listener():
        calls.append(1)
        controller.abort("again")
        unsubscribe()

    unsubscribe = controller.signal.subscribe(listener)
    controller.abort()
    assert calls == [1]


def test_a_listener_that_fails_does_not_stop_the_others():
    controller, called = AbortController(), threading.Event()

    def failing():
        raise RuntimeError("of its own")

    controller.signal.subscribe(failing)
    controller.signal.subscribe(called.set)
    with suppress(RuntimeError):
        controller.abort()
    assert called.is_set()


def test_many_threads():
    controller, calls = AbortController(), []
    start = threading.Barrier(12)

    def subscribe():
        start.wait(10)
        for _ in range(200):
            controller.signal.subscribe(lambda: calls.append(1))

    def abort():
        start.wait(10)
        controller.abort()

    threads = [threading.Thread(target=subscribe) for _ in range(10)]
    threads += [threading.Thread(target=abort) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(calls) == 2000


@pytest.mark.parametrize("line", range(14))
def test_abort_in_a_signal_handler(line):
    """Python runs a handler between any two lines of the main thread, also of these."""
    controller, calls = AbortController(), []
    left = [line]

    def handler(frame, event, arg):
        if event == "line" and frame.f_code.co_filename.endswith("_signal.py"):
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                controller.abort()
                return None
        return handler

    def subscribe():
        sys.settrace(handler)
        unsubscribe = controller.signal.subscribe(lambda: calls.append(1))
        sys.settrace(None)
        if line:
            controller.abort()
        unsubscribe()

    thread = threading.Thread(target=subscribe, daemon=True)
    thread.start()
    thread.join(2)
    assert not thread.is_alive(), "a deadlock"
    assert calls == ([1] if line else [])


def test_an_abort_in_a_signal_handler_wakes_a_wait():
    """Handlers run between any two steps of the main thread, also of the wait itself."""
    script = """
import signal, hfgen
controller = hfgen.AbortController()
signal.signal(signal.SIGALRM, lambda *_: controller.abort())
signal.setitimer(signal.ITIMER_REAL, 0.2)
assert controller.signal.wait(60)
for _ in range(2000):
    controller = hfgen.AbortController()
    signal.setitimer(signal.ITIMER_REAL, 0.0001)
    while not controller.signal.aborted:
        controller.signal.wait(0.00001)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)


def test_a_listener_that_fails_at_once_goes_no_further():
    controller = AbortController()
    controller.abort()

    def failing():
        raise ValueError("of its own")

    controller.signal.subscribe(failing)
