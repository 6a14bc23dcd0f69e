"""The window by itself, and what it settles at with simulated servers."""

import pytest

from helpers.bulk_simulation import URL, Queueing, Refusing, Simulation
from hfgen._bulk.window import Window


def rounds(window, count, delay=0.1, now=0.0):
    """Let so many windows' worth of answers come."""
    for _ in range(count):
        started, now = now, now + 1.0
        for _ in range(window.size):
            window.answered(started, now, delay, is_full=True)
    return now


def test_it_doubles_until_the_first_overload_and_then_grows_by_one():
    window = Window(1, 256)
    now = rounds(window, 5)
    assert window.size == 32
    assert window.overloaded(now, now)
    assert window.size == 16
    rounds(window, 4, now=now)
    assert 19 <= window.size <= 20


def test_only_requests_since_the_last_cut_cut_again():
    window = Window(1, 256)
    rounds(window, 5)
    assert window.overloaded(5.0, 6.0)
    assert not any(window.overloaded(5.5, 6.5) for _ in range(30))
    assert window.size == 16
    assert window.overloaded(6.5, 7.0)
    assert window.size == 8


def test_answers_to_requests_before_the_cut_do_not_let_it_grow():
    window = Window(4, 256)
    window.overloaded(1.0, 2.0)
    for _ in range(100):
        window.answered(1.5, 3.0, 0.1, is_full=True)
    assert window.size == 4


def test_it_stays_between_least_and_most():
    window = Window(3, 10)
    now = rounds(window, 20)
    assert window.size == 10
    for _ in range(20):
        now += 1
        window.overloaded(now, now + 0.5)
    assert window.size == 3


def test_one_that_is_not_used_does_not_grow():
    window = Window(1, 256)
    for _ in range(100):
        window.answered(0.0, 1.0, 0.1, is_full=False)
    assert window.size == 1


@pytest.mark.parametrize(("delay", "left"), [(0.28, 0.85), (0.37, 0.7), (30.0, 0.5)])
def test_first_tokens_that_take_longer_shrink_it(delay, left):
    window = Window(1, 256)
    now = rounds(window, 6)
    sizes = [window.size]
    while sizes[-1] >= max(sizes):
        window.answered(now, now + 1, delay, is_full=True)
        sizes.append(window.size)
    assert sizes[-1] == pytest.approx(sizes[-2] * left, rel=0.03)


def test_delays_that_no_cut_shortens_are_taken_for_the_usual_ones():
    window = Window(1, 256)
    now = rounds(window, 8)
    now = rounds(window, 10, delay=2.0, now=now)
    rounds(window, 10, delay=2.0, now=now)
    assert window.size == 256


@pytest.mark.parametrize("capacity", [4, 16, 64, 200])
def test_it_settles_near_what_a_server_takes_that_queues_the_rest(capacity):
    simulation = Simulation({URL: Queueing(capacity)})
    simulation.run(90)
    window, rate = simulation.run(60)
    assert 0.7 * capacity <= window <= 1.6 * capacity
    assert rate >= 0.9 * capacity


@pytest.mark.parametrize("capacity", [4, 16, 64, 200])
def test_it_settles_near_what_a_server_takes_that_refuses_the_rest(capacity):
    simulation = Simulation({URL: Refusing(capacity)})
    simulation.run(90)
    overloads = simulation.dispatcher.statistics.overloads
    window, rate = simulation.run(60)
    assert 0.6 * capacity <= window <= 1.1 * capacity
    assert rate >= 0.6 * capacity
    # It asks for too much now and then, and not all the time.
    assert simulation.dispatcher.statistics.overloads - overloads < 0.01 * rate * 60 + 15


@pytest.mark.parametrize("kind", [Queueing, Refusing])
def test_it_recovers_after_a_dip(kind):
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


def test_a_fixed_one_is_held_whatever_happens():
    simulation = Simulation({URL: Refusing(10)}, concurrency=(20, 20))
    window, _ = simulation.run(30)
    assert window == 20


def test_two_servers_are_used_by_what_each_takes():
    servers = {"http://small": Queueing(8), "http://large": Queueing(80)}
    simulation = Simulation(servers)
    simulation.run(120)
    _, rate = simulation.run(60)
    assert rate >= 0.85 * 88
    small, large = (server.window for server in simulation.dispatcher.statistics.servers)
    assert small < 20 < large
