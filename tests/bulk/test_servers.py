"""The choice of servers, their pauses, and the size of their windows."""

import pytest

from helpers.bulk_simulation import URL, QueueingServer, RatedServer, RefusingServer, Simulation
from hfgen import ConnectError
from hfgen._bulk.servers import Servers, Window

ERROR = ConnectError("no connection")


def fail(server, now, times=1):
    for _ in range(times):
        server.note_start(now)
        server.in_flight -= 1
        server.note_failure(now, now, ERROR)


def test_the_least_busy_server_is_chosen():
    servers = Servers(["a", "b", "c"], (6, 6))
    order = []
    for now in range(6):
        server = servers.choose(now)
        servers.note_start(server, now)
        order.append(server.url)
    assert order == ["a", "b", "c"] * 2
    assert servers.choose(6) is None
    servers.note_end(servers.all[1])
    assert servers.choose(7) is servers.all[1]


def test_the_server_to_avoid_is_chosen_last():
    servers = Servers(["a", "b"], (4, 4))
    a, b = servers.all
    b.note_start(0)
    assert servers.choose(1, avoid=a) is b
    b.probe_after(10, 1)
    assert servers.choose(2, avoid=a) is a


def test_the_most_holds_for_all_servers_together():
    servers = Servers(["a", "b"], (1, 3))
    for server in servers.all:
        for _ in range(20):
            server.window.note_answer(0, 1, None, is_full=True)
    assert servers.window == 3
    for now in range(3):
        servers.note_start(servers.choose(now), now)
    assert servers.choose(3) is None
    assert servers.free_at(3) is None


def test_a_fixed_number_goes_to_the_servers_that_are_not_paused():
    servers = Servers(["a", "b"], (4, 4))
    servers.all[0].probe_after(100, 0)
    for now in range(4):
        servers.note_start(servers.choose(now), now)
    assert servers.all[1].in_flight == 4


def test_the_least_is_shared_between_servers():
    assert [server.window.size for server in Servers(["a", "b"], (7, 100)).all] == [4, 4]


def test_failures_in_a_row_pause_a_server_longer_each_time():
    (server,) = Servers(["a"], (10, 10)).all
    fail(server, 0.0, 2)
    assert server.pause_left(0.0) == 0
    fail(server, 0.0)
    now, seconds = 0.0, []
    for _ in range(8):
        seconds.append(server.pause_left(now))
        now += seconds[-1]
        fail(server, now)
    assert seconds == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_failures_of_earlier_requests_do_not_lengthen_a_pause():
    (server,) = Servers(["a"], (10, 10)).all
    for _ in range(10):
        server.note_failure(0.0, 1.0, ERROR)
    assert server.pause_left(1.0) == 0.5


def test_an_answer_resets_the_count_of_failures():
    (server,) = Servers(["a"], (10, 10)).all
    for _ in range(10):
        fail(server, 0.0, 2)
        server.note_answer(0.0, 0.0)
    assert server.pause_left(0.0) == 0


def test_after_a_pause_a_single_request_probes_the_server():
    servers = Servers(["a"], (10, 10))
    (server,) = servers.all
    fail(server, 0.0, 3)
    assert servers.choose(0.4) is None
    assert servers.free_at(0.4) == 0.5
    servers.note_start(servers.choose(0.5), 0.5)
    assert servers.choose(0.6) is None
    assert servers.free_at(0.6) is None
    servers.note_end(server)
    server.note_answer(0.5, 0.6)
    for now in range(1, 11):
        servers.note_start(servers.choose(now), now)


def test_a_server_is_given_up_after_five_probes():
    (server,) = Servers(["a"], (10, 10)).all
    fail(server, 0.0, 3)
    for probe in range(5):
        assert server.given_up is None, probe
        fail(server, 100.0 * (probe + 1))
    assert server.given_up is ERROR


def test_all_servers_must_be_given_up():
    servers = Servers(["a", "b"], (10, 10))
    servers.all[0].given_up = ERROR
    assert servers.given_up is None
    servers.all[1].given_up = ERROR
    assert servers.given_up is ERROR


def test_refusals_in_a_row_pause_the_server_longer_each_time():
    (server,) = Servers(["a"], (1, 64)).all
    pauses = []
    for now in range(0, 1000, 100):
        server.note_refusal(now, now, 0.0, 0.4)
        pauses.append(server.pause_left(now))
    assert pauses == pytest.approx([0, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])
    server.note_answer(1000, 1001)
    server.note_refusal(1002, 1002, 0.0, 0.4)
    assert server.pause_left(1002) == 0


def test_a_server_is_paused_for_as_long_as_it_asks():
    (server,) = Servers(["a"], (1, 64)).all
    server.note_refusal(1.0, 2.0, 7.0, 0.4)
    assert server.pause_left(2.0) == 7
    server.note_refusal(1.0, 2.0, 3.0, 0.4)
    assert server.pause_left(2.0) == 7


def test_an_answer_to_an_earlier_request_does_not_end_a_pause():
    servers = Servers(["a"], (8, 8))
    (server,) = servers.all
    servers.note_start(server, 0.0)
    server.note_refusal(1.0, 2.0, 5.0, 0.4)
    servers.note_end(server)
    server.note_answer(0.0, 3.0)
    assert servers.choose(6.9) is None
    assert servers.choose(7.0) is server


def test_requests_keep_a_distance_if_one_at_a_time_is_too_much():
    servers = Servers(["a"], (1, 1))
    (server,) = servers.all
    now, distances = 0.0, []
    for _ in range(4):
        # Each second request is refused.
        for is_refused in (False, True):
            start = servers.free_at(now)
            servers.note_start(server, start)
            now = start + 0.01
            servers.note_end(server)
            if is_refused:
                server.note_refusal(start, now, 0.0, 0.0)
                distances.append(servers.free_at(now) - start)
            else:
                server.note_answer(start, now)
    assert distances == pytest.approx([0.01 * 1.25 * (1.25 * 0.99) ** n for n in range(4)])
    # Without refusals it shrinks, until one request at a time keeps it by itself.
    for number in range(100):
        server.note_answer(10.0 + number, 10.01 + number)
    servers.note_start(server, 200.0)
    servers.note_end(server)
    assert servers.free_at(200.0) == 200.0 + 0.01 * 0.6


def test_the_distance_is_bound_when_answers_take_long():
    servers = Servers(["a"], (1, 1))
    (server,) = servers.all
    server.note_answer(0.0, 60.0)
    server.note_refusal(61.0, 62.0, 0.0, 0.0)
    servers.note_start(server, 70.0)
    servers.note_end(server)
    assert servers.free_at(70.1) == 71.0


def test_a_server_without_refusals_gets_requests_without_a_distance():
    servers = Servers(["a"], (8, 8))
    (server,) = servers.all
    server.note_answer(0.0, 1.0)
    for _ in range(8):
        servers.note_start(servers.choose(2.0), 2.0)
    assert server.in_flight == 8


def answer_rounds(window, count, delay=0.1, now=0.0):
    """Note this many windows' worth of answers."""
    for _ in range(count):
        started, now = now, now + 1.0
        for _ in range(window.size):
            window.note_answer(started, now, delay, is_full=True)
    return now


def test_a_window_doubles_until_the_first_overload_and_then_grows_by_one():
    window = Window(1, 256)
    now = answer_rounds(window, 5)
    assert window.size == 32
    window.note_refusal(now, now, 16)
    assert window.size == 16
    answer_rounds(window, 4, now=now)
    assert 18 <= window.size <= 20


def test_a_window_becomes_what_the_server_has_taken():
    window = Window(1, 256)
    now = answer_rounds(window, 6)
    assert window.size == 64
    # Of 64 requests that were sent at once, the server takes 8.
    for in_flight in range(63, 7, -1):
        window.note_refusal(now, now, in_flight)
    assert window.size == 8


def test_a_window_does_not_grow_by_a_refusal():
    window = Window(4, 256)
    window.note_refusal(1.0, 2.0, 100)
    assert window.size == 4


def test_a_window_does_not_grow_by_requests_before_the_cut():
    window = Window(4, 256)
    window.note_refusal(1.0, 2.0, 3)
    for _ in range(100):
        window.note_answer(1.5, 3.0, 0.1, is_full=True)
    assert window.size == 3


def test_a_limit_is_tried_again_less_often_each_time():
    window, answers = Window(8, 256), []
    for now in range(4):
        window.note_refusal(now, now, 8)
        answers.append(0)
        while window.size == 8:
            window.note_answer(now, now, 0.1, is_full=True)
            answers[-1] += 1
    assert answers == pytest.approx([16, 32, 32, 32], abs=2)
    # If the server then takes more, the window grows as before.
    now = answer_rounds(window, 6, now=4)
    before = window.size
    answer_rounds(window, 2, now=now)
    assert window.size == before + 2


def test_a_window_stays_between_one_and_most():
    window = Window(3, 10)
    now = answer_rounds(window, 20)
    assert window.size == 10
    for _ in range(20):
        now += 1
        window.note_refusal(now, now + 0.5, window.size - 1)
    assert window.size == 1


def test_a_window_that_is_not_used_up_does_not_grow():
    window = Window(1, 256)
    for _ in range(100):
        window.note_answer(0.0, 1.0, 0.1, is_full=False)
    assert window.size == 1


@pytest.mark.parametrize(("delay", "left"), [(0.28, 0.85), (0.37, 0.7), (30.0, 0.5)])
def test_a_window_shrinks_when_first_tokens_take_longer(delay, left):
    window = Window(1, 256)
    now = answer_rounds(window, 6)
    sizes = [window.size]
    while sizes[-1] >= max(sizes):
        window.note_answer(now, now + 1, delay, is_full=True)
        sizes.append(window.size)
    assert sizes[-1] == pytest.approx(sizes[-2] * left, rel=0.03)


def test_a_window_grows_again_if_cuts_do_not_shorten_delays():
    window = Window(1, 256)
    now = answer_rounds(window, 8)
    now = answer_rounds(window, 10, delay=2.0, now=now)
    answer_rounds(window, 10, delay=2.0, now=now)
    assert window.size == 256


@pytest.mark.parametrize("capacity", [4, 16, 64, 200])
def test_a_window_settles_near_the_capacity_of_a_server_that_queues(capacity):
    simulation = Simulation({URL: QueueingServer(capacity)})
    simulation.run(90)
    window, rate = simulation.run(60)
    assert 0.7 * capacity <= window <= 1.6 * capacity
    assert rate >= 0.9 * capacity


@pytest.mark.parametrize("capacity", [4, 8, 16, 64, 200])
def test_a_window_settles_near_the_capacity_of_a_server_that_refuses(capacity):
    simulation = Simulation({URL: RefusingServer(capacity)})
    simulation.run(90)
    overloads = simulation.dispatcher.statistics.overloads
    window, rate = simulation.run(60)
    assert 0.9 * capacity <= window <= 1.1 * capacity
    assert rate >= 0.9 * capacity
    # Growing causes overloads now and then, but not all the time.
    assert simulation.dispatcher.statistics.overloads - overloads < 0.01 * rate * 60 + 15


@pytest.mark.parametrize("kind", [QueueingServer, RefusingServer])
def test_a_window_recovers_after_a_dip_of_the_capacity(kind):
    server = kind(64)
    simulation = Simulation({URL: server})
    simulation.run(60)
    server.capacity = 8
    simulation.run(60)
    window, _ = simulation.run(30)
    assert window <= 16
    server.capacity = 64
    simulation.run(60)
    window, rate = simulation.run(60)
    assert 0.6 * 64 <= window <= 1.6 * 64
    assert rate >= 0.6 * 64


def test_a_fixed_number_is_kept_when_delays_grow():
    simulation = Simulation({URL: QueueingServer(10)}, concurrency=(20, 20))
    window, _ = simulation.run(30)
    assert window == 20


@pytest.mark.parametrize("capacity", [1, 8])
def test_a_fixed_number_becomes_what_the_server_takes(capacity):
    simulation = Simulation({URL: RefusingServer(capacity)}, concurrency=(250, 250))
    simulation.run(30)
    overloads = simulation.dispatcher.statistics.overloads
    window, rate = simulation.run(60)
    assert 0.9 * capacity <= window <= 1.3 * capacity
    assert rate >= 0.85 * capacity
    assert simulation.dispatcher.statistics.overloads - overloads < 20


@pytest.mark.parametrize("concurrency", [32, (1, 64)])
@pytest.mark.parametrize("seconds", [0.004, 0.02, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("burst", [1, 20])
def test_a_rate_of_the_server_is_used_and_seldom_exceeded(concurrency, seconds, burst):
    server = RatedServer(20, burst=burst, seconds=seconds)
    simulation = Simulation({URL: server}, concurrency=concurrency)
    simulation.run(30)
    refused = server.refused
    _, rate = simulation.run(60)
    # Without a burst, two requests that happen to be close together are one too many.
    assert rate >= (0.8 if burst > 1 else 0.45) * 20
    assert server.refused - refused < 0.2 * rate * 60


def test_a_server_that_is_asked_too_fast_from_the_start_is_soon_asked_less():
    server = RatedServer(20, burst=1, seconds=0.05)
    Simulation({URL: server}, concurrency=32).run(10)
    assert server.answered > 150
    assert server.refused < 100


def test_retry_after_holds_for_all_rows():
    server = RatedServer(2, burst=1, seconds=2.0, retry_after=5)
    Simulation({URL: server}, concurrency=8).run(60)
    pauses = [at for at in server.refused_at if at < 50]
    assert pauses
    for at in pauses:
        # Those that were under way at the same time were sent already.
        assert not any(at + 0.01 < asked < at + 5 for asked in server.asked_at)


def test_two_servers_each_get_what_they_can_take():
    servers = {"http://small": QueueingServer(8), "http://large": QueueingServer(80)}
    simulation = Simulation(servers)
    simulation.run(120)
    _, rate = simulation.run(60)
    assert rate >= 0.85 * 88
    small, large = (server.window for server in simulation.dispatcher.statistics.servers)
    assert small < 20 < large
