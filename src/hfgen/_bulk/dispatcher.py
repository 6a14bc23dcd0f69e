"""The dispatcher: it assigns rows to servers, schedules retries, and queues results.

The life of a row:

1. `add_row` makes a `Job` of it, and queues the job. A row without a request is a result at once.
2. `begin_attempt` takes a job when a server is free and the rate limit allows a request.
3. The shell (`_sync/bulk.py` or `_async/bulk.py`) sends it, and gives the outcome to `end_attempt`.
4. If that is an error that may pass, the job is queued again, at once or after a delay, behind the
   jobs that wait already.
5. If not, a `BulkResult` goes to the outbox, from which `take_result` takes it.

Pure: no I/O, no threads, and every method is told the time. A shell calls `begin_attempt` again
after each call of `add_row` and `end_attempt`, and at the time that `wake_at` returns.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hfgen._bulk.failures import GENERATED_NOTHING, Failure, classify_error
from hfgen._bulk.jobs import Job, Jobs
from hfgen._bulk.rate_limit import Limiter
from hfgen._bulk.results import BulkResult, BulkStatistics, Outbox, ServerStatistics
from hfgen._bulk.servers import Servers
from hfgen._bulk.sizes import measure_answers, measure_bytes
from hfgen._core.errors import HfgenError, drop_tracebacks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hfgen._bulk.plan import BulkPlan
    from hfgen._bulk.servers import Server
    from hfgen._core.answers import GeneratedText

Row = TypeVar("Row")

# Bounds of the rows in memory (waiting, under way, or in the outbox), for each request that may be
# under way. With `ordered`, results wait in the outbox for the slowest row before them.
_HELD_PER_REQUEST, _HELD_PER_REQUEST_IN_ORDER = 4, 16
# The bound of their bytes, all together: no further row is taken while they have as many.
_MAX_HELD_BYTES = 64 * 2**20
# A job that was singled out this many times is refused for what it is, not for the server's load.
# Once may be chance: of the requests of an overloaded server, some are refused twice.
_SINGLED_OUT = 2
# A bound for exponents: 2.0 ** 1024 overflows. `max_backoff` is reached long before.
_MAX_DOUBLINGS = 100
# Parameters that servers refuse or ignore in a stream.
_NOT_STREAMABLE = ("best_of", "decoder_input_details")


@dataclass(slots=True, eq=False)
class Attempt(Generic[Row]):
    """One request for a job, which the shell is to send now.

    Attributes:
        job: The job.
        server: The server that gets the request.
        started: When it began.
        charge: How many tokens were taken from the rate limit for it.
    """

    job: Job[Row]
    server: Server
    started: float
    charge: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: with answers, or with an error."""

    answers: list[GeneratedText] = field(default_factory=list)
    error: HfgenError | None = None
    time_to_first_token: float | None = None


class Dispatcher(Generic[Row]):
    """Assigns rows to servers, schedules retries, queues results.

    Args:
        plan: The checked arguments of `generate_many`.
        eager: Whether to ask for as many rows ahead as requests may be under way. A shell that
            takes rows only now and then needs that; for one that takes them at any time, one row
            ahead is enough.
        draw: Returns a number in [0, 1), from which delays are drawn.

    Attributes:
        statistics: Counts, kept up to date.
        error: The exception that ends the iteration, None if there is none.
    """

    def __init__(
        self, plan: BulkPlan, *, eager: bool = False, draw: Callable[[], float] = random.random
    ) -> None:
        self._retry = plan.retry
        self._patience = plan.patience
        self._model = plan.model
        self._stream = plan.stream
        self._eager = eager
        self._draw = draw
        self._servers = Servers(plan.urls, plan.concurrency)
        self._limiter = Limiter(plan.rate_limit)
        held = _HELD_PER_REQUEST_IN_ORDER if plan.ordered else _HELD_PER_REQUEST
        self._max_held = 1 + plan.concurrency[1] * held
        # The rows in memory: about how many bytes each has, by index.
        self._held: dict[int, int] = {}
        self._held_bytes = 0
        self._jobs: Jobs[Row] = Jobs()
        self._outbox: Outbox[Row] = Outbox(ordered=plan.ordered)
        self._has_input_ended = False
        self._input_error: BaseException | None = None
        self._draining = False
        self._has_answered = False
        self.error: BaseException | None = None
        self.statistics = BulkStatistics(servers=[ServerStatistics(url) for url in plan.urls])
        self._by_server = dict(zip(self._servers.all, self.statistics.servers, strict=True))
        for server in self._servers.all:
            self._update_statistics(server, float("-inf"))

    @property
    def wants_row(self) -> bool:
        """Whether the shell should take a row from the input now."""
        ahead = self._servers.window if self._eager else 1
        if self._has_input_ended or self.error is not None or self._jobs.ready_count >= ahead:
            return False
        return len(self._held) < self._max_held and self._held_bytes < _MAX_HELD_BYTES

    def add_row(self, row: Row, request: Mapping[str, Any] | HfgenError) -> None:
        """Add a row with its request, or with the error for which it has none."""
        index = self.statistics.taken
        self.statistics.taken += 1
        self._hold(index, measure_bytes(row, request))
        if isinstance(request, HfgenError):
            self._put_result(BulkResult(index=index, row=row, error=request))
            return
        parameters = request.get("parameters") or {}
        stream = self._stream and not any(parameters.get(name) for name in _NOT_STREAMABLE)
        self._jobs.add(Job(index, row, request, stream))
        self.statistics.waiting += 1

    def end_input(self, error: BaseException | None = None) -> None:
        """Note that there are no more rows.

        Args:
            error: What the input raised; the iteration raises it after the results so far.
        """
        self._has_input_ended = True
        self._input_error = self._input_error or error

    def drain(self) -> None:
        """Drop the rows that wait: only the attempts under way still give results."""
        self._has_input_ended = self._draining = True
        for job in self._jobs.clear():
            self._skip(job)
        self.statistics.waiting = 0

    def fail(self, error: BaseException) -> None:
        """End the iteration with this exception, unless it ends with an earlier one."""
        self.error = self.error or error

    def begin_attempt(self, now: float) -> Attempt[Row] | None:
        """Return an attempt that the shell is to make now, None if there is none."""
        self._jobs.add_delayed(now)
        if self.error is not None or (job := self._jobs.first) is None:
            return None
        if self._limiter.ready_at(now) > now:
            return None
        if (server := self._servers.choose(now, avoid=job.last_server)) is None:
            return None
        self._jobs.pop()
        self._servers.note_start(server, now)
        self.statistics.retries += job.attempts > 0
        job.attempts += 1
        job.last_server = server
        self._update_statistics(server, now)
        return Attempt(job, server, now, self._limiter.charge(job.request))

    def wake_at(self, now: float) -> float | None:
        """Return when `begin_attempt` may succeed if nothing happens before, None if never."""
        times = [self._jobs.delayed_until]
        if self._jobs.first is not None and (free_at := self._servers.free_at(now)) is not None:
            times.append(max(free_at, self._limiter.ready_at(now)))
        return min((time for time in times if time is not None), default=None)

    def end_attempt(
        self, attempt: Attempt[Row], outcome: Outcome, now: float
    ) -> tuple[float, HfgenError] | None:
        """Make a result of the outcome, or queue the job again.

        Returns:
            If the job is queued again: seconds until its next attempt, and the error of this one.
        """
        job, server = attempt.job, attempt.server
        is_full = server.in_flight >= server.window.size
        self._servers.note_end(server)
        retry: tuple[float, HfgenError] | None = None
        error = outcome.error
        if error is None:
            self._handle_answer(attempt, outcome, now, is_full=is_full)
        else:
            self._by_server[server].failed += 1
            delay = self._handle_error(attempt, error, now)
            # The frames of its traceback would keep the connection and the answer alive.
            drop_tracebacks(error)
            if self.error is not None or (delay is not None and self._draining):
                self._skip(job)
            elif delay is None:
                self._put_result(self._make_result(attempt, outcome, now))
            else:
                retry = max(delay, server.pause_left(now)), error
                self._jobs.delay(job, now + delay)
        self._update_statistics(server, now)
        return retry

    def take_result(self) -> BulkResult[Row] | None:
        """Return the next result, None if there is none yet."""
        if (result := self._outbox.take()) is not None:
            self._release(result.index)
        return result

    @property
    def has_result(self) -> bool:
        """Whether `take_result` has a result."""
        return self._outbox.has_next

    @property
    def is_over(self) -> bool:
        """Whether no more results will come; `error` is then set if the iteration ends with one."""
        if self.error is None and self._has_input_ended and not self._job_count:
            self.error = self._input_error
            return True
        return self.error is not None

    @property
    def _job_count(self) -> int:
        return len(self._jobs) + self._servers.in_flight

    def _handle_answer(
        self, attempt: Attempt[Row], outcome: Outcome, now: float, *, is_full: bool
    ) -> None:
        server = attempt.server
        result = self._make_result(attempt, outcome, now)
        tokens = result.generated_tokens
        delay = outcome.time_to_first_token
        if delay is None:
            # Without a stream, the time for each token shows how busy the server is.
            delay = (now - attempt.started) / (tokens or 1)
        self._has_answered = True
        self._by_server[server].answered += 1
        server.note_answer(attempt.started, now, delay, is_full=is_full)
        self._limiter.settle(attempt.charge, attempt.job.request, result.input_length, tokens)
        self.statistics.input_length += result.input_length or 0
        self.statistics.generated_tokens += tokens or 0
        self._put_result(result)

    def _handle_error(self, attempt: Attempt[Row], error: HfgenError, now: float) -> float | None:
        """Return the seconds until the job may be tried again, None if it may not."""
        job = attempt.job
        failure = classify_error(error, job.request, self._model)
        if failure in GENERATED_NOTHING:
            self._limiter.give_back(attempt.charge)
        if failure is Failure.NOT_STREAMABLE and job.stream:
            job.stream = False
            return 0.0
        if failure is Failure.FATAL:
            self.fail(error)
            return None
        if failure is Failure.ROW:
            # The server works: it has read the request, and refused its content.
            self._has_answered = True
            attempt.server.note_answer(attempt.started, now)
            return None
        if failure is Failure.OVERLOAD:
            return self._handle_overload(attempt, error, now)
        if failure is Failure.LOADING:
            return self._handle_loading(attempt, error, now)
        return self._handle_failure(failure, attempt, error, now)

    def _handle_failure(
        self, failure: Failure, attempt: Attempt[Row], error: HfgenError, now: float
    ) -> float | None:
        """Blame the server unless the failure is unclear, and count the attempt if it arrived."""
        job, server = attempt.job, attempt.server
        if failure is not Failure.UNCLEAR:
            if failure is Failure.REFUSED:
                server.given_up = error
            server.note_failure(attempt.started, now, error)
            if not self._has_answered and self._servers.given_up is not None:
                self.fail(self._servers.given_up)
        counts = failure is not Failure.UNREACHED
        if counts and job.failures >= self._retry.max_retries:
            return None
        delay = self._retry.delay(job.failures, error, self._draw)
        job.failures += counts
        return delay

    def _handle_overload(
        self, attempt: Attempt[Row], error: HfgenError, now: float
    ) -> float | None:
        """Ask the server for less, and delay the job, up to the end of `patience`."""
        job, retry = attempt.job, self._retry
        self.statistics.overloads += 1
        retry_after = min(retry.find_requested_wait(error) or 0.0, retry.max_wait)
        pause = retry.backoff * (1.0 + self._draw()) / 2
        if not self._note_refused_job(attempt, now):
            attempt.server.note_refusal(attempt.started, now, retry_after, pause)
        if now - job.refused_since >= self._patience:
            return None
        delay = min(pause * 2.0 ** min(job.refusals - 1, _MAX_DOUBLINGS), retry.max_backoff)
        return max(delay, retry_after)

    def _handle_loading(self, attempt: Attempt[Row], error: HfgenError, now: float) -> float | None:
        """Wait while the model loads, up to the end of `wait_for_model`."""
        job, server = attempt.job, attempt.server
        is_of_job = self._note_refused_job(attempt, now)
        server.loading_since = min(server.loading_since, now)
        elapsed = now - min(server.loading_since, job.refused_since)
        if not self._retry.waits_for_model(error, elapsed):
            return self._handle_failure(Failure.LOADING, attempt, error, now)
        delay = self._retry.wait(0, error, elapsed) or 0.0
        if not is_of_job:
            server.probe_after(delay, now)
        return delay

    def _note_refused_job(self, attempt: Attempt[Row], now: float) -> bool:
        """Note that a job was refused; return whether that says nothing about the server.

        So it is if the server has refused it several times, and answered others in between.
        """
        job = attempt.job
        job.refusals += 1
        job.singled_out += attempt.server.has_answered_since(job.refused_start)
        job.refused_since = min(job.refused_since, now)
        job.refused_start = attempt.started
        return job.singled_out >= _SINGLED_OUT

    def _skip(self, job: Job[Row]) -> None:
        """Drop a job: its row gets no result."""
        self._release(job.index)
        self._outbox.skip(job.index)

    def _hold(self, index: int, size: int) -> None:
        """Count this many bytes more for a row."""
        self._held[index] = self._held.get(index, 0) + size
        self._held_bytes += size

    def _release(self, index: int) -> None:
        self._held_bytes -= self._held.pop(index)

    def _make_result(self, attempt: Attempt[Row], outcome: Outcome, now: float) -> BulkResult[Row]:
        job = attempt.job
        return BulkResult(
            index=job.index,
            row=job.row,
            answers=outcome.answers,
            error=outcome.error,
            attempts=job.attempts,
            server=attempt.server.url,
            latency=now - attempt.started,
            time_to_first_token=outcome.time_to_first_token,
        )

    def _put_result(self, result: BulkResult[Row]) -> None:
        if result.error is None:
            self.statistics.succeeded += 1
        else:
            self.statistics.failed += 1
            self.statistics.errors[type(result.error).__name__] += 1
        self._hold(result.index, measure_answers(result.answers))
        self._outbox.put(result)

    def _update_statistics(self, server: Server, now: float) -> None:
        statistics, of_server = self.statistics, self._by_server[server]
        statistics.in_flight = self._servers.in_flight
        statistics.waiting = len(self._jobs)
        of_server.in_flight, of_server.window = server.in_flight, server.window.size
        of_server.rests = server.pause_left(now) > 0
