"""The first stop signal asks to stop in order, the second one stops at once."""

import signal
import sys
import threading
from contextlib import contextmanager

import pytest

from hfgen._io.stop_signals import handle_stop_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def handler_of(name, handler):
    previous = signal.signal(getattr(signal, name), handler)
    try:
        yield
    finally:
        signal.signal(getattr(signal, name), previous)


def send(name):
    signal.raise_signal(getattr(signal, name))


def record_calls(*names, calls):
    return handle_stop_signals(
        *names, stop=lambda: calls.append("stop"), stop_at_once=lambda: calls.append("at once")
    )


@pytest.mark.parametrize("first", NAMES)
@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM"])
def test_the_first_signal_stops_and_each_later_one_stops_at_once(first, second):
    calls = []
    with record_calls(*NAMES, calls=calls):
        send(first)
        assert calls == ["stop"]
        send(second)
        send(second)
    assert calls == ["stop", "at once", "at once"]


@pytest.mark.parametrize("first", NAMES)
def test_sighup_is_never_the_second_signal(first):
    calls = []
    with record_calls(*NAMES, calls=calls):
        send(first)
        send("SIGHUP")
        assert calls == ["stop"]
        send("SIGINT")
    assert calls == ["stop", "at once"]


@pytest.mark.parametrize("ignored", NAMES)
def test_an_ignored_signal_stays_ignored(ignored):
    calls = []
    with handler_of(ignored, signal.SIG_IGN):
        with record_calls(*NAMES, calls=calls):
            send(ignored)
            assert calls == []
            for name in set(NAMES) - {ignored}:
                send(name)
            assert calls[0] == "stop"
        assert signal.getsignal(getattr(signal, ignored)) is signal.SIG_IGN


def test_a_second_signal_while_the_first_one_is_handled():
    calls = []

    def stop():
        send("SIGTERM")
        calls.append("stop")

    with handle_stop_signals(
        "SIGINT", "SIGTERM", stop=stop, stop_at_once=lambda: calls.append("at once")
    ):
        send("SIGINT")
    assert calls == ["at once", "stop"]


def raise_interrupt():
    raise KeyboardInterrupt


def test_the_handlers_are_restored_however_the_context_ends():
    received = []
    with handler_of("SIGTERM", lambda number, _: received.append(number)):
        before = [signal.getsignal(getattr(signal, name)) for name in NAMES]
        with record_calls(*NAMES, calls=[]):
            send("SIGTERM")
        with (
            pytest.raises(KeyboardInterrupt),
            handle_stop_signals(*NAMES, stop=raise_interrupt, stop_at_once=raise_interrupt),
        ):
            send("SIGTERM")
        assert [signal.getsignal(getattr(signal, name)) for name in NAMES] == before
        assert received == []
        send("SIGTERM")
    assert received == [signal.SIGTERM]


def test_a_process_that_ends_keeps_the_handlers():
    calls = []
    with handler_of("SIGINT", signal.default_int_handler):
        for sends in (False, True):
            with handle_stop_signals(
                "SIGINT",
                stop=lambda: calls.append("stop"),
                stop_at_once=lambda: calls.append("at once"),
                ends_process=True,
            ):
                if sends:
                    send("SIGINT")
            is_restored = signal.getsignal(signal.SIGINT) is signal.default_int_handler
            assert is_restored is not sends
        send("SIGINT")
    assert calls == ["stop", "at once"]


def test_the_inner_context_takes_the_signals_of_the_outer_one():
    outer, inner = [], []
    with record_calls("SIGINT", calls=outer):
        with record_calls("SIGINT", "SIGTERM", calls=inner):
            send("SIGINT")
        send("SIGINT")
    assert (outer, inner) == (["stop"], ["stop"])


def test_only_the_named_signals_are_handled():
    before = signal.getsignal(signal.SIGTERM)
    with record_calls("SIGINT", "SIGNOTHING", calls=[]):
        assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_changes_no_handler():
    before, during = signal.getsignal(signal.SIGINT), []

    def run():
        with record_calls(*NAMES, calls=[]):
            during.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert during == [before]
