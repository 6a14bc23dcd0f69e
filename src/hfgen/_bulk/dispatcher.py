"""Which row goes to which server, when, and what becomes of what comes back.

Pure: it does no I/O, and is told the time. The shells around it take rows from the input when
`wants_row`, make the attempts that `begin` returns, report how they went, and hand out results.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hfgen._bulk.failures import Verdict, verdict
from hfgen._bulk.rate_limit import Limiter
from hfgen._bulk.results import BulkResult, BulkStatistics, Outbox, ServerStatistics
from hfgen._bulk.servers import Fleet
from hfgen._core.errors import HfgenError, untie

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hfgen._bulk.plan import BulkPlan
    from hfgen._bulk.servers import Server
    from hfgen._core.answers import GeneratedText

Row = TypeVar("Row")

# How many rows are held for each request that may be under way: those waiting to be asked (again),
# under way, and waiting to be handed out. In order they wait for the slowest among them.
_HELD, _HELD_IN_ORDER = 4, 16
# Such requests cannot be streamed, or would not give what they ask for.
_NOT_STREAMED = ("best_of", "decoder_input_details")


@dataclass(slots=True, eq=False)
class Job(Generic[Row]):
    """A row that has been taken, and has no result yet."""

    index: int
    row: Row
    request: Mapping[str, Any]
    stream: bool
    attempts: int = 0
    # Those of the attempts that failed and count.
    failures: int = 0
    last: Server | None = None


@dataclass(slots=True, eq=False)
class Attempt(Generic[Row]):
    """A row that is to be asked for now.

    Attributes:
        job: The row.
        server: Where.
        started: When.
        charged: For how many tokens it was charged.
    """

    job: Job[Row]
    server: Server
    started: float
    charged: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt went: its answers, or its error."""

    answers: list[GeneratedText] = field(default_factory=list)
    error: HfgenError | None = None
    time_to_first_token: float | None = None


class Dispatcher(Generic[Row]):
    """Decides everything.

    Args:
        plan: What was asked for.
        eager: Whether as many rows are to be ready beforehand as there may be requests at once; one
            is enough for a shell that takes rows at any time.
        draw: Gives a number in [0, 1), which waits are drawn with.

    Attributes:
        statistics: What has been.
        failure: Why the iteration ends with an exception, None if it does not.
    """

    def __init__(
        self, plan: BulkPlan, *, eager: bool = False, draw: Callable[[], float] = random.random
    ) -> None:
        self._retry = plan.retry
        self._model = plan.model
        self._streams = plan.stream
        self._eager = eager
        self._draw = draw
        self._fleet = Fleet(plan.urls, plan.concurrency)
        self._limiter = Limiter(plan.rate_limit)
        self._held = 1 + plan.concurrency[1] * (_HELD_IN_ORDER if plan.ordered else _HELD)
        self._ready: deque[Job[Row]] = deque()
        # Rows that wait to be tried again, by when.
        self._later: list[tuple[float, int, Job[Row]]] = []
        self._outbox: Outbox[Row] = Outbox(ordered=plan.ordered)
        self._input_ended = False
        self._input_error: BaseException | None = None
        self._drains = False
        self._has_answered = False
        self.failure: BaseException | None = None
        self.statistics = BulkStatistics(servers=[ServerStatistics(url) for url in plan.urls])
        self._by_server = dict(zip(self._fleet.servers, self.statistics.servers, strict=True))
        for server in self._fleet.servers:
            self._show(server, float("-inf"))

    @property
    def wants_row(self) -> bool:
        """Whether a row is to be taken from the input."""
        ahead = self._fleet.window if self._eager else 1
        if self._input_ended or self.failure is not None or len(self._ready) >= ahead:
            return False
        return self._pending + len(self._outbox) < self._held

    def add(self, row: Row, request: Mapping[str, Any] | HfgenError) -> None:
        """Take in a row, and the request that it makes, or why it makes none."""
        index = self.statistics.taken
        self.statistics.taken += 1
        if isinstance(request, HfgenError):
            self._end(BulkResult(index=index, row=row, error=request))
            return
        parameters = request.get("parameters") or {}
        streams = self._streams and not any(parameters.get(name) for name in _NOT_STREAMED)
        self._ready.append(Job(index, row, request, streams))
        self.statistics.waiting += 1

    def input_ended(self, error: BaseException | None = None) -> None:
        """Take in that there are no more rows, and what the input raised if that is why."""
        self._input_ended = True
        self._input_error = self._input_error or error

    def drain(self) -> None:
        """Take no more rows, and begin no more attempts."""
        self._input_ended = self._drains = True
        for job in (*self._ready, *(job for _, _, job in self._later)):
            self._outbox.skip(job.index)
        self._ready.clear()
        self._later.clear()
        self.statistics.waiting = 0

    def fail(self, error: BaseException) -> None:
        """Take in what ends the iteration."""
        self.failure = self.failure or error

    def begin(self, now: float) -> Attempt[Row] | None:
        """Return an attempt that is to be made now, None if there is none now."""
        while self._later and self._later[0][0] <= now:
            self._ready.appendleft(heapq.heappop(self._later)[2])
        if not self._ready or self.failure is not None or self._limiter.ready_at(now) > now:
            return None
        if (server := self._fleet.choose(now, avoid=self._ready[0].last)) is None:
            return None
        job = self._ready.popleft()
        self._fleet.begun(server, now)
        self.statistics.retries += job.attempts > 0
        job.attempts += 1
        job.last = server
        self._show(server, now)
        return Attempt(job, server, now, self._limiter.begun(job.request))

    def wake_at(self, now: float) -> float | None:
        """Return when `begin` may have one without anything having happened, None if never."""
        times = [self._later[0][0]] if self._later else []
        if self._ready and (room := self._fleet.room_at(now)) is not None:
            times.append(max(room, self._limiter.ready_at(now)))
        return min(times, default=None)

    def ended(
        self, attempt: Attempt[Row], outcome: Outcome, now: float
    ) -> tuple[float, HfgenError] | None:
        """Take in how an attempt went.

        Returns:
            How long the row waits before it is tried again and why, if it is.
        """
        job, server = attempt.job, attempt.server
        is_full = server.in_flight >= server.window.size
        self._fleet.ended(server)
        again: tuple[float, HfgenError] | None = None
        error = outcome.error
        if error is None:
            self._answered(attempt, outcome, now, is_full=is_full)
        else:
            self._by_server[server].failed += 1
            wait = self._failed(attempt, error, now)
            # Its frames hold what the attempt held.
            untie(error)
            if self.failure is not None or (wait is not None and self._drains):
                self._outbox.skip(job.index)
            elif wait is None:
                self._end(self._result(attempt, outcome, now))
            else:
                again = max(wait, server.rest_left(now)), error
                self._put_off(job, wait, now)
        self._show(server, now)
        return again

    def take(self) -> BulkResult[Row] | None:
        """Return the next result to hand out, None if there is none yet."""
        return self._outbox.take()

    @property
    def has_result(self) -> bool:
        """Whether `take` has one."""
        return self._outbox.has_next

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come; then `failure` says whether that is in order."""
        if self.failure is None and self._input_ended and not self._pending:
            self.failure = self._input_error
            return True
        return self.failure is not None

    @property
    def _pending(self) -> int:
        return len(self._ready) + len(self._later) + self._fleet.in_flight

    def _answered(
        self, attempt: Attempt[Row], outcome: Outcome, now: float, *, is_full: bool
    ) -> None:
        server = attempt.server
        result = self._result(attempt, outcome, now)
        delay = outcome.time_to_first_token
        tokens = result.generated_tokens
        if delay is None:
            delay = (now - attempt.started) / (tokens or 1)
        self._has_answered = True
        self._by_server[server].answered += 1
        server.answered()
        server.window.answered(attempt.started, now, delay, is_full=is_full)
        used = (result.input_length or 0) + (tokens or 0)
        self._limiter.ended(attempt.charged, used or None)
        self.statistics.input_length += result.input_length or 0
        self.statistics.generated_tokens += tokens or 0
        self._end(result)

    def _failed(self, attempt: Attempt[Row], error: HfgenError, now: float) -> float | None:
        """Take in a failure; return after how long the row is tried again, None if it is not."""
        job, server = attempt.job, attempt.server
        said = verdict(error, job.request, self._model)
        if self._is_forgiven(said, attempt, error, now):
            return 0.0
        if said is Verdict.BUG:
            self.failure = error
            return None
        if said is Verdict.ROW:
            # It has been read, and understood.
            self._has_answered = True
            server.answered()
            return None
        if said is not Verdict.BROKEN:
            if said is Verdict.REFUSED:
                server.hopeless = error
            server.failed(attempt.started, now, error)
            if not self._has_answered:
                self.failure = self._fleet.hopeless
        counts = said is not Verdict.UNREACHED
        if counts and job.failures >= self._retry.max_retries:
            return None
        wait = self._retry.delay(job.failures, error, self._draw)
        job.failures += counts
        return wait

    def _is_forgiven(
        self, said: Verdict, attempt: Attempt[Row], error: HfgenError, now: float
    ) -> bool:
        """Tell whether the row has lost nothing, and goes on first; see to what is in its way."""
        job, server, retry = attempt.job, attempt.server, self._retry
        if said is Verdict.WHOLE and job.stream:
            job.stream = False
            return True
        if said is Verdict.OVERLOAD:
            self.statistics.overloads += 1
            asked = retry.asked(error)
            patience = None if asked is None else min(asked, retry.max_wait)
            pause = retry.backoff * (1.0 + self._draw()) / 2
            server.overloaded(attempt.started, now, patience, pause)
            return True
        return said is Verdict.LOADING and self._waits_for_model(server, error, now)

    def _waits_for_model(self, server: Server, error: HfgenError, now: float) -> bool:
        since = server.loading_since = now if server.loading_since is None else server.loading_since
        if not self._retry.waits_for_model(error, now - since):
            return False
        server.suspect(self._retry.wait(0, error, now - since) or 0.0, now)
        return True

    def _put_off(self, job: Job[Row], wait: float, now: float) -> None:
        if wait > 0:
            heapq.heappush(self._later, (now + wait, job.index, job))
        else:
            self._ready.appendleft(job)

    def _result(self, attempt: Attempt[Row], outcome: Outcome, now: float) -> BulkResult[Row]:
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

    def _end(self, result: BulkResult[Row]) -> None:
        if result.error is None:
            self.statistics.succeeded += 1
        else:
            self.statistics.failed += 1
            self.statistics.errors[type(result.error).__name__] += 1
        self._outbox.put(result)

    def _show(self, server: Server, now: float) -> None:
        shown, its = self.statistics, self._by_server[server]
        shown.in_flight = self._fleet.in_flight
        shown.waiting = len(self._ready) + len(self._later)
        its.in_flight, its.window = server.in_flight, server.window.size
        its.rests = server.rest_left(now) > 0
