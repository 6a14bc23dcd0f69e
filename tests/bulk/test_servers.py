"""Which server is asked, and which ones are left alone."""

import pytest

from hfgen import ConnectError
from hfgen._bulk.servers import Fleet

ERROR = ConnectError("no connection")


def rests(server, now):
    """Return the seconds for which it rests."""
    return server.rest_left(now)


def fail(server, now, times=1):
    for _ in range(times):
        server.begun(now)
        server.in_flight -= 1
        server.failed(now, now, ERROR)


def test_the_least_busy_one_is_chosen():
    fleet = Fleet(["a", "b", "c"], (6, 6))
    order = []
    for now in range(6):
        server = fleet.choose(now)
        fleet.begun(server, now)
        order.append(server.url)
    assert order == ["a", "b", "c"] * 2
    assert fleet.choose(6) is None
    fleet.ended(fleet.servers[1])
    assert fleet.choose(7) is fleet.servers[1]


def test_a_row_goes_to_another_one_if_there_is_one():
    fleet = Fleet(["a", "b"], (4, 4))
    a, b = fleet.servers
    b.begun(0)
    assert fleet.choose(1, avoid=a) is b
    b.suspect(10, 1)
    assert fleet.choose(2, avoid=a) is a


def test_there_is_a_most_for_all_together():
    fleet = Fleet(["a", "b"], (1, 3))
    for server in fleet.servers:
        for _ in range(20):
            server.window.answered(0, 1, None, is_full=True)
    assert fleet.window == 3
    for now in range(3):
        fleet.begun(fleet.choose(now), now)
    assert fleet.choose(3) is None
    assert fleet.room_at(3) is None


def test_who_is_left_takes_all_of_a_fixed_number():
    fleet = Fleet(["a", "b"], (4, 4))
    fleet.servers[0].suspect(100, 0)
    for now in range(4):
        fleet.begun(fleet.choose(now), now)
    assert fleet.servers[1].in_flight == 4


def test_what_to_begin_with_is_shared():
    assert [server.window.size for server in Fleet(["a", "b"], (7, 100)).servers] == [4, 4]


def test_several_failures_in_a_row_rest_it_longer_each_time():
    (server,) = Fleet(["a"], (10, 10)).servers
    fail(server, 0.0, 2)
    assert rests(server, 0.0) == 0
    fail(server, 0.0)
    now, seconds = 0.0, []
    for _ in range(8):
        seconds.append(rests(server, now))
        now += seconds[-1]
        fail(server, now)
    assert seconds == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_failures_of_what_was_under_way_do_not_lengthen_it():
    (server,) = Fleet(["a"], (10, 10)).servers
    for _ in range(10):
        server.failed(0.0, 1.0, ERROR)
    assert rests(server, 1.0) == 0.5


def test_an_answer_in_between_forgives():
    (server,) = Fleet(["a"], (10, 10)).servers
    for _ in range(10):
        fail(server, 0.0, 2)
        server.answered()
    assert rests(server, 0.0) == 0


def test_after_a_rest_one_request_goes_there():
    fleet = Fleet(["a"], (10, 10))
    (server,) = fleet.servers
    fail(server, 0.0, 3)
    assert fleet.choose(0.4) is None
    assert fleet.room_at(0.4) == 0.5
    fleet.begun(fleet.choose(0.5), 0.5)
    assert fleet.choose(0.6) is None
    assert fleet.room_at(0.6) is None
    fleet.ended(server)
    server.answered()
    for now in range(1, 11):
        fleet.begun(fleet.choose(now), now)


def test_one_that_has_never_been_reached_is_given_up_after_five_probes():
    (server,) = Fleet(["a"], (10, 10)).servers
    fail(server, 0.0, 3)
    for probe in range(5):
        assert server.hopeless is None, probe
        fail(server, 100.0 * (probe + 1))
    assert server.hopeless is ERROR


def test_all_must_be_given_up():
    fleet = Fleet(["a", "b"], (10, 10))
    fleet.servers[0].hopeless = ERROR
    assert fleet.hopeless is None
    fleet.servers[1].hopeless = ERROR
    assert fleet.hopeless is ERROR


def test_an_overload_halves_and_rests_only_if_that_does_not_help():
    (server,) = Fleet(["a"], (1, 64)).servers
    for _ in range(40):
        server.window.answered(0.0, 1.0, None, is_full=True)
    before = server.window.size
    server.overloaded(1.0, 2.0, None, 0.4)
    assert (server.window.size, rests(server, 2.0)) == (before // 2, 0)
    server.overloaded(3.0, 4.0, None, 0.4)
    assert rests(server, 4.0) == pytest.approx(0.4)
    server.overloaded(5.0, 6.0, None, 0.4)
    assert rests(server, 6.0) == pytest.approx(0.8)
    server.answered()
    server.overloaded(7.0, 8.0, None, 0.4)
    assert rests(server, 8.0) == 0


def test_it_is_left_alone_for_as_long_as_it_asks():
    (server,) = Fleet(["a"], (1, 64)).servers
    server.overloaded(1.0, 2.0, 7.0, 0.4)
    assert rests(server, 2.0) == 7
    server.overloaded(1.0, 2.0, 3.0, 0.4)
    assert rests(server, 2.0) == 7
