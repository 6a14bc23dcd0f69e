"""The body on the sync side: whoever reads it closes it, whichever thread asks for that."""

import sys
import threading

import pytest

import hfgen
from hfgen._sync.closable_body import ClosableBody
from hfgen._sync.sockets import CuttableSocket


class Response:
    """One whose read waits until its line is cut."""

    def __init__(self):
        self.line = CuttableSocket()
        self.reading, self.cut = threading.Event(), threading.Event()
        self.shut_by = []
        self.line.cut = self.cut.set
        self.body = ClosableBody(self.pieces(), self.line, self.shut)

    def pieces(self):
        yield b"a"
        self.reading.set()
        assert self.cut.wait(10)
        raise hfgen.ConnectError("cut")

    def shut(self):
        self.shut_by.append(threading.current_thread())


def test_closed_under_its_reader_it_is_shut_by_the_reader():
    response = Response()

    def close():
        assert response.reading.wait(10)
        response.body.close()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(hfgen.ConnectError, match="cut"):
        list(response.body)
    closer.join()
    assert response.shut_by == [threading.current_thread()]


def test_closed_while_nobody_reads_it_is_shut_at_once():
    response = Response()
    assert next(iter(response.body)) == b"a"
    closer = threading.Thread(target=response.body.close)
    closer.start()
    closer.join()
    assert response.shut_by == [closer]
    with pytest.raises(hfgen.ConnectError, match="has been closed"):
        next(iter(response.body))
    response.body.close()


def test_what_ends_is_not_shut():
    body = ClosableBody(iter([b"a", b"b"]), CuttableSocket(), pytest.fail)
    assert list(body) == [b"a", b"b"]


def test_closed_by_its_own_reader_it_is_shut_when_that_has_read():
    # As by a handler of a signal.
    shut = []

    def pieces():
        body.close()
        assert not shut
        yield b"a"

    body = ClosableBody(pieces(), CuttableSocket(), lambda: shut.append(1))
    assert next(iter(body)) == b"a"
    assert shut
    with pytest.raises(hfgen.ConnectError, match="has been closed"):
        next(iter(body))


def test_it_is_shut_once_and_never_under_its_reader():
    def pieces():
        nonlocal reading
        while True:
            reading = True
            begun.set()
            # Moments in which another thread may come.
            for _ in range(50):
                pass
            reading = False
            yield b"a"

    def close():
        assert begun.wait(10)
        body.close()

    def shut():
        shuts.append(reading)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):
            reading, begun, shuts = False, threading.Event(), []
            body = ClosableBody(pieces(), CuttableSocket(), shut)
            closers = [threading.Thread(target=close) for _ in range(2)]
            for closer in closers:
                closer.start()
            with pytest.raises(hfgen.ConnectError, match="has been closed"):
                for _ in body:
                    pass
            for closer in closers:
                closer.join()
            assert shuts == [False]
    finally:
        sys.setswitchinterval(before)
