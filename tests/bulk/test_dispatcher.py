"""The dispatcher, without servers and with a clock of the test."""

import sys
from itertools import pairwise

import pytest

import hfgen
from helpers.bulk_simulation import (
    URL,
    PickyServer,
    QueueingServer,
    Simulation,
    answer,
    make_plan,
)
from hfgen import HfgenError, RateLimit, Retry
from hfgen._bulk.dispatcher import Dispatcher, Outcome

OK = Outcome(answer(), None, 0.1)
SECOND = "http://second"


def failing(error):
    return Outcome([], error, None)


def status(code, kind=hfgen.StatusError, **facts):
    return failing(kind("no", status=code, **facts))


LOADING = status(503, hfgen.ModelLoadingError, estimated_time=3.0)
OVERLOAD = status(429, hfgen.OverloadedError)
BROKEN = failing(hfgen.IncompleteGenerationError("cut"))


def refused():
    error = hfgen.ConnectError("cannot connect")
    error.__cause__ = ConnectionRefusedError()
    return failing(error)


class Run:
    """A dispatcher, and a clock that jumps to the time of the next attempt."""

    def __init__(self, rows=1, **options):
        self.now = 0.0
        self.dispatcher = Dispatcher(make_plan(**{"concurrency": 1} | options), draw=lambda: 0.5)
        for index in range(rows):
            self.dispatcher.add_row(f"row {index}", {"inputs": f"{index}"})

    def begin(self):
        """Begin the next attempt, at the time at which it may begin."""
        while (attempt := self.dispatcher.begin_attempt(self.now)) is None:
            wake = self.dispatcher.wake_at(self.now)
            assert wake is not None
            assert wake > self.now
            self.now = wake
        return attempt

    def end(self, attempt, outcome, seconds=1.0):
        self.now += seconds
        return self.dispatcher.end_attempt(attempt, outcome, self.now)

    def begin_and_answer(self):
        """Answer the next attempt, and return the index of its row."""
        attempt = self.begin()
        self.end(attempt, OK)
        return attempt.job.index

    def go(self, *outcomes):
        """Make attempts with these outcomes; return when they began, and the results."""
        times = []
        for outcome in outcomes:
            attempt = self.begin()
            times.append(self.now)
            self.end(attempt, outcome)
        return times, self.results()

    def results(self):
        results = []
        while (result := self.dispatcher.take_result()) is not None:
            results.append(result)
        return results


class TestOneRow:
    def test_that_is_answered(self):
        run = Run()
        _, (result,) = run.go(OK)
        assert result.ok
        assert (result.index, result.row, result.server) == (0, "row 0", URL)
        assert (result.attempts, result.latency, result.time_to_first_token) == (1, 1.0, 0.1)
        assert (result.generated_text, result.finish_reason) == ("a", "length")
        assert (result.generated_tokens, result.input_length) == (10, 5)

    def test_that_makes_no_request_is_an_error(self):
        dispatcher = Dispatcher(make_plan())
        error = hfgen.InvalidRequestError("no prompt")
        dispatcher.add_row("row", error)
        result = dispatcher.take_result()
        assert not result.ok
        assert (result.error, result.attempts, result.server) == (error, 0, "")
        assert (result.latency, result.generated_text, result.generated_tokens) == (None,) * 3
        assert dispatcher.begin_attempt(0.0) is None

    @pytest.mark.parametrize("outcome", [BROKEN, status(500), status(424, hfgen.GenerationError)])
    def test_that_fails_is_retried_up_to_max_retries(self, outcome):
        run = Run(retry=Retry(max_retries=2, backoff=4.0, max_backoff=6.0))
        times, (result,) = run.go(outcome, outcome, outcome)
        assert result.error is outcome.error
        assert result.attempts == 3
        # Half of what may be drawn: 4, then 6.
        assert times == [0.0, 1.0 + 2.0, 4.0 + 3.0]
        assert run.dispatcher.statistics.retries == 2

    def test_that_fails_and_is_then_answered_succeeds(self):
        _, (result,) = Run().go(BROKEN, BROKEN, OK)
        assert result.ok
        assert result.attempts == 3

    @pytest.mark.parametrize(
        "outcome", [status(422, hfgen.ValidationError), failing(hfgen.InvalidRequestError("no"))]
    )
    def test_that_is_refused_is_not_retried(self, outcome):
        _, (result,) = Run().go(outcome)
        assert (result.error, result.attempts) == (outcome.error, 1)

    def test_is_not_retried_if_retry_after_exceeds_max_wait(self):
        run = Run(retry=Retry(max_wait=10))
        _, (result,) = run.go(status(500, headers={"retry-after": "11"}))
        assert result.error.retry_after == 11

    def test_that_cannot_be_streamed_is_retried_at_once_without_a_stream(self):
        run = Run(retry=Retry(max_retries=0))
        attempt = run.begin()
        assert attempt.job.stream
        run.end(attempt, status(400, hfgen.StreamingNotSupportedError))
        again = run.begin()
        assert not again.job.stream
        assert again.started == 1.0
        run.end(again, OK)
        assert run.results()[0].ok

    @pytest.mark.parametrize("name", ["best_of", "decoder_input_details"])
    def test_with_parameters_that_cannot_be_streamed_is_not_streamed(self, name):
        run = Run(rows=0)
        run.dispatcher.add_row("row", {"inputs": "x", "parameters": {name: 2}})
        assert not run.begin().job.stream

    def test_that_waits_reports_the_delay_and_the_error(self):
        run = Run(retry=Retry(backoff=4.0))
        wait, error = run.end(run.begin(), BROKEN)
        assert (wait, error) == (2.0, BROKEN.error)
        assert run.end(run.begin(), OK) is None


class TestOverload:
    def test_costs_no_retry(self):
        run = Run(retry=Retry(max_retries=0))
        _, (result,) = run.go(*[OVERLOAD] * 20, OK)
        assert result.ok
        assert result.attempts == 21
        assert run.dispatcher.statistics.overloads == 20

    def test_puts_the_row_behind_the_others(self):
        run = Run(rows=3, retry=Retry(backoff=4.0))
        run.go(OVERLOAD)
        assert [run.begin_and_answer() for _ in range(3)] == [1, 2, 0]

    def test_delays_the_row_longer_each_time(self):
        run = Run(rows=200, retry=Retry(backoff=1.0, max_backoff=4.0))
        times = []
        while len(times) < 5:
            attempt = run.begin()
            is_first_row = attempt.job.index == 0
            if is_first_row:
                times.append(run.now)
            run.end(attempt, OVERLOAD if is_first_row else OK, seconds=0.1)
        assert [b - a for a, b in pairwise(times)] >= [0.75, 1.5, 3.0, 4.0]

    def test_lets_rows_that_were_refused_take_turns_with_others(self):
        run = Run(rows=8, concurrency=4, retry=Retry(backoff=0.0))
        for attempt in [run.begin() for _ in range(4)]:
            run.end(attempt, OVERLOAD, seconds=0.0)
        assert [run.begin_and_answer() for _ in range(8)] == [0, 4, 1, 5, 2, 6, 3, 7]

    def test_ends_with_an_error_after_patience(self):
        run = Run(retry=Retry(max_retries=0, max_backoff=2.0), patience=20.0)
        ends = []
        while not (results := run.results()):
            run.end(run.begin(), OVERLOAD)
            ends.append(run.now - 1.0)
        assert results[0].error is OVERLOAD.error
        assert ends[-2] < 20 <= ends[-1]

    def test_ends_at_once_without_patience(self):
        _, (result,) = Run(patience=0).go(OVERLOAD)
        assert (result.error, result.attempts) == (OVERLOAD.error, 1)

    def test_pauses_the_server_longer_each_time(self):
        run = Run(retry=Retry(backoff=1.0))
        times, _ = run.go(*[OVERLOAD] * 9)
        waits = [b - a - 1.0 for a, b in pairwise(times)]
        assert waits == [0.75, 1.5, 3, 6, 8, 12, 24, 30]

    def test_gives_back_the_tokens_of_the_request(self):
        run = Run(rows=0, rate_limit=RateLimit(tokens_per_minute=60), retry=Retry(backoff=0.01))
        run.dispatcher.add_row("row", {"inputs": "x", "parameters": {"max_new_tokens": 1000}})
        times, _ = run.go(OVERLOAD, OVERLOAD, OK)
        assert times[-1] < 5

    def test_pauses_it_for_retry_after_up_to_max_wait(self):
        run = Run(retry=Retry(max_wait=20))
        limited = [
            status(429, hfgen.RateLimitError, headers={"retry-after": f"{n}"}) for n in (7, 99)
        ]
        times, _ = run.go(*limited, OK)
        assert times == [0.0, 8.0, 29.0]

    def test_by_loading_pauses_the_server_and_then_probes_it(self):
        run = Run(rows=4, concurrency=4, retry=Retry(max_retries=0, wait_for_model=60.0))
        for attempt in [run.begin() for _ in range(4)]:
            run.end(attempt, LOADING, seconds=0.0)
        assert run.dispatcher.begin_attempt(2.9) is None
        run.begin()
        assert run.now == 3.0
        assert run.dispatcher.begin_attempt(100.0) is None

    def test_by_loading_costs_retries_after_wait_for_model(self):
        run = Run(retry=Retry(max_retries=1, wait_for_model=10.0))
        times, (result,) = run.go(*[LOADING] * 5)
        assert result.error is LOADING.error
        assert times[:4] == [0.0, 4.0, 8.0, 11.0]


def overload(**headers):
    return lambda: hfgen.RateLimitError("no", status=429, headers=headers)


def load_model():
    return hfgen.ModelLoadingError("no", status=503, estimated_time=20.0)


class TestRowsThatAreAlwaysRefused:
    @pytest.mark.parametrize("concurrency", [8, (1, 64)])
    @pytest.mark.parametrize("row", [0, 20])
    @pytest.mark.parametrize(
        "make_error", [overload(), overload(**{"retry-after": "5"}), load_model]
    )
    def test_do_not_hold_up_the_others(self, concurrency, row, make_error):
        server = PickyServer(QueueingServer(8), {row}, make_error)
        simulation = Simulation(
            {URL: server}, concurrency=concurrency, retry=Retry(wait_for_model=1000.0)
        )
        simulation.run(60)
        window, rate = simulation.run(60)
        assert window > 7
        assert rate > 7
        assert server.asked < 40

    def test_are_errors_in_the_end(self):
        server = PickyServer(QueueingServer(8), {0, 20}, overload())
        simulation = Simulation({URL: server}, concurrency=8, patience=60.0)
        simulation.run(55)
        assert simulation.errors == []
        simulation.run(30)
        assert sorted(simulation.errors) == [0, 20]


class TestServers:
    def test_get_a_row_that_another_one_failed(self):
        run = Run(urls=(URL, SECOND))
        first = run.begin()
        run.end(first, BROKEN)
        assert run.begin().server is not first.server

    def test_that_cannot_be_reached_cost_no_retry(self):
        run = Run(rows=2)
        _, (first,) = run.go(OK)
        _, (second,) = run.go(*[refused()] * 30, OK)
        assert first.ok
        assert second.ok
        assert second.attempts == 31

    def test_that_fail_three_times_are_paused_and_then_probed(self):
        run = Run(rows=3, concurrency=3, retry=Retry(max_retries=5, backoff=0.0))
        for attempt in [run.begin() for _ in range(3)]:
            run.end(attempt, status(500), seconds=0.0)
        assert run.dispatcher.begin_attempt(0.4) is None
        run.begin()
        assert run.now == 0.5
        assert run.dispatcher.begin_attempt(100.0) is None
        assert run.dispatcher.statistics.servers[0].in_flight == 1

    @pytest.mark.parametrize("code", [401, 402, 403, 404])
    def test_that_refuse_before_any_answer_end_the_run(self, code):
        run = Run(rows=3)
        refusal = status(code)
        run.end(run.begin(), refusal)
        assert run.dispatcher.is_over
        assert run.dispatcher.error is refusal.error
        assert run.results() == []
        assert run.dispatcher.begin_attempt(1000.0) is None

    def test_must_all_refuse_to_end_the_run(self):
        run = Run(rows=3, urls=(URL, SECOND))
        run.end(run.begin(), status(401))
        assert run.dispatcher.error is None
        run.end(run.begin(), status(401))
        assert isinstance(run.dispatcher.error, hfgen.StatusError)

    def test_that_refuse_after_an_answer_fail_the_row(self):
        run = Run(rows=2)
        run.go(OK)
        _, (result,) = run.go(*[status(401)] * 3)
        assert run.dispatcher.error is None
        assert result.error.status == 401

    def test_that_refuse_the_model_of_the_row_fail_the_row(self):
        run = Run(rows=0)
        run.dispatcher.add_row("row", {"inputs": "x", "model": "a/b"})
        _, (result,) = run.go(status(404))
        assert result.attempts == 1
        assert run.dispatcher.error is None

    def test_that_are_never_reached_end_the_run_after_five_probes(self):
        run = Run()
        run.go(*[refused()] * 7)
        assert run.dispatcher.error is None
        run.go(refused())
        assert isinstance(run.dispatcher.error, hfgen.ConnectError)

    def test_that_refuse_a_row_as_invalid_have_answered(self):
        run = Run(rows=2)
        run.go(status(422, hfgen.ValidationError))
        run.go(*[refused()] * 20)
        assert run.dispatcher.error is None

    def test_are_not_asked_by_a_closed_client(self):
        run = Run(rows=2)
        run.go(failing(HfgenError("the client is closed")))
        assert run.dispatcher.is_over
        assert str(run.dispatcher.error) == "the client is closed"

    def test_that_fail_do_not_hide_an_earlier_error(self):
        run = Run(rows=2, concurrency=2)
        attempt = run.begin()
        run.dispatcher.fail(ZeroDivisionError())
        run.end(attempt, status(500))
        assert isinstance(run.dispatcher.error, ZeroDivisionError)


class TestInput:
    def test_is_taken_one_row_ahead(self):
        dispatcher = Dispatcher(make_plan(concurrency=2))
        taken = 0
        while dispatcher.wants_row or dispatcher.begin_attempt(0.0):
            if dispatcher.wants_row:
                dispatcher.add_row(taken, {"inputs": "x"})
                taken += 1
        assert taken == 3

    def test_is_taken_a_window_ahead_if_eager(self):
        dispatcher = Dispatcher(make_plan(concurrency=8), eager=True)
        taken = 0
        while dispatcher.wants_row:
            dispatcher.add_row(taken, {"inputs": "x"})
            taken += 1
        assert taken == 8

    @pytest.mark.parametrize(("ordered", "most"), [(False, 9), (True, 33)])
    def test_is_not_taken_while_too_many_results_wait(self, ordered, most):
        run = Run(rows=0, concurrency=2, ordered=ordered)
        taken = 0
        while run.dispatcher.wants_row:
            run.dispatcher.add_row(taken, {"inputs": "x"})
            taken += 1
            while (attempt := run.dispatcher.begin_attempt(run.now)) is not None:
                run.end(attempt, OK)
        assert taken == most
        run.dispatcher.take_result()
        assert run.dispatcher.wants_row

    def test_is_not_taken_while_too_many_bytes_wait(self):
        run = Run(rows=0, concurrency=256)
        megabyte = "x" * 2**20
        taken = 0
        while run.dispatcher.wants_row:
            # A new string each time.
            run.dispatcher.add_row(taken, {"inputs": megabyte + str(taken)})
            taken += 1
            while (attempt := run.dispatcher.begin_attempt(run.now)) is not None:
                run.end(attempt, OK)
        assert taken == 64
        run.dispatcher.take_result()
        assert run.dispatcher.wants_row

    def test_is_taken_one_row_at_a_time_if_each_has_too_many_bytes(self):
        run = Run(rows=0, concurrency=2)
        for number in range(3):
            assert run.dispatcher.wants_row
            run.dispatcher.add_row("x" * (65 * 2**20), {"inputs": f"{number}"})
            assert not run.dispatcher.wants_row
            assert len(run.go(OK)[1]) == 1

    def test_counts_answers_that_wait(self):
        run = Run(rows=0, concurrency=100)
        taken = 0
        while run.dispatcher.wants_row:
            run.dispatcher.add_row(taken, {"inputs": "x"})
            taken += 1
            while (attempt := run.dispatcher.begin_attempt(run.now)) is not None:
                run.end(attempt, Outcome(answer("y" * 2**20), None, 0.1))
        assert taken == 64

    def test_order_is_kept_if_asked(self):
        run = Run(rows=5, concurrency=5, ordered=True)
        attempts = [run.begin() for _ in range(5)]
        for attempt in attempts[:0:-1]:
            run.end(attempt, OK)
        assert run.results() == []
        run.end(attempts[0], OK)
        assert [result.index for result in run.results()] == [0, 1, 2, 3, 4]

    def test_error_is_raised_after_the_rows_before_it(self):
        run = Run(rows=2)
        run.dispatcher.end_input(LookupError("no more"))
        assert not run.dispatcher.wants_row
        assert not run.dispatcher.is_over
        _, results = run.go(OK, BROKEN, OK)
        assert [result.ok for result in results] == [True, True]
        assert run.dispatcher.is_over
        assert isinstance(run.dispatcher.error, LookupError)

    def test_end_ends_the_run_when_all_rows_have_results(self):
        run = Run(rows=1)
        attempt = run.begin()
        run.dispatcher.end_input()
        assert not run.dispatcher.is_over
        run.end(attempt, OK)
        assert run.dispatcher.is_over
        assert run.dispatcher.error is None


class TestDraining:
    @pytest.mark.parametrize("ordered", [False, True])
    def test_hands_out_only_what_is_under_way(self, ordered):
        run = Run(rows=5, concurrency=3, ordered=ordered)
        waits, again, goes = [run.begin() for _ in range(3)]
        run.end(waits, BROKEN)
        run.dispatcher.drain()
        assert run.dispatcher.begin_attempt(1000.0) is None
        assert run.dispatcher.wake_at(run.now) is None
        assert not run.dispatcher.is_over
        run.end(again, BROKEN)
        run.end(goes, OK)
        assert [result.index for result in run.results()] == [2]
        assert run.dispatcher.is_over
        assert run.dispatcher.statistics.waiting == 0

    def test_hands_out_an_error_that_is_not_retried(self):
        run = Run()
        attempt = run.begin()
        run.dispatcher.drain()
        run.end(attempt, status(422, hfgen.ValidationError))
        assert len(run.results()) == 1


class TestRateLimit:
    def test_spreads_attempts(self):
        run = Run(rows=5, concurrency=5, rate_limit=RateLimit(requests_per_minute=60))
        times = []
        for _ in range(5):
            run.begin()
            times.append(run.now)
        assert times == pytest.approx([0, 1, 2, 3, 4])

    def test_counts_failed_attempts(self):
        run = Run(rate_limit=RateLimit(requests_per_minute=6), retry=Retry(backoff=0.0))
        times, _ = run.go(BROKEN, OK)
        assert times == pytest.approx([0, 10])


def test_statistics():
    run = Run(rows=4, concurrency=3)
    attempts = [run.begin() for _ in range(3)]
    statistics = run.dispatcher.statistics
    assert (statistics.taken, statistics.in_flight, statistics.waiting) == (4, 3, 1)
    run.end(attempts[0], OK)
    run.end(attempts[1], BROKEN)
    run.end(attempts[2], status(422, hfgen.ValidationError))
    assert (statistics.succeeded, statistics.failed, statistics.done) == (1, 1, 2)
    assert (statistics.in_flight, statistics.waiting) == (0, 2)
    assert (statistics.input_length, statistics.generated_tokens) == (5, 10)
    assert statistics.errors == {"ValidationError": 1}
    assert statistics.concurrency == 3
    (server,) = statistics.servers
    assert (server.url, server.answered, server.failed) == (URL, 1, 2)


def test_memory_does_not_grow_with_the_number_of_rows():
    """A fast server, a tenth of whose answers are errors that are tried again."""
    dispatcher = Dispatcher(make_plan(concurrency=64, ordered=True))
    retried = failing(hfgen.IncompleteGenerationError("cut"))
    now, attempts, done, peaks = 0.0, [], 0, []
    for target in (20_000, 200_000):
        peaks.append(0)
        while done < target:
            now += 1.0
            while (attempt := dispatcher.begin_attempt(now)) or dispatcher.wants_row:
                if attempt is None:
                    dispatcher.add_row("row", {"inputs": "x"})
                else:
                    attempts.append(attempt)
            # Not by tracemalloc, which makes it ten times as slow.
            peaks[-1] = max(peaks[-1], sys.getallocatedblocks())
            for attempt in attempts:
                first = attempt.job.attempts == 1 and attempt.job.index % 10 == 0
                dispatcher.end_attempt(attempt, retried if first else OK, now)
            attempts.clear()
            while dispatcher.take_result() is not None:
                done += 1
    assert peaks[1] - peaks[0] < 5_000
