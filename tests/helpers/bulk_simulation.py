"""Simulated servers and a simulated clock for a dispatcher: minutes pass in milliseconds."""

import heapq
import random
from collections import deque
from itertools import count

from hfgen import OverloadedError, RateLimitError
from hfgen._bulk.dispatcher import Dispatcher, Outcome
from hfgen._bulk.plan import BulkPlan
from hfgen.types import Details, GeneratedText

URL = "http://simulated"
# Seconds to the first token, and to a refusal.
PREFILL, REFUSAL = 0.05, 0.005


def answer(text="a", tokens=10, prompt=5):
    details = Details(finish_reason="length", generated_tokens=tokens, input_length=prompt)
    return [GeneratedText(generated_text=text, details=details)]


def make_plan(concurrency=(1, 256), **options):
    pair = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    return BulkPlan(**{"urls": (URL,), "concurrency": pair} | options)


class QueueingServer:
    """Answers `capacity` requests at once; the others wait, so that their first tokens are late."""

    def __init__(self, capacity, seed=0):
        self.capacity = capacity
        self._random = random.Random(seed)
        self._busy = 0
        self._queue = deque()

    def receive(self, simulation, attempt):
        if self._busy >= self.capacity:
            self._queue.append(attempt)
            return
        self._busy += 1
        seconds = self._random.uniform(0.5, 1.5)
        first = simulation.now + PREFILL * self._random.uniform(0.8, 1.2) - attempt.started
        outcome = Outcome(answer(), None, first)

        def end():
            self._busy -= 1
            simulation.end_attempt(attempt, outcome)
            while self._queue and self._busy < self.capacity:
                self.receive(simulation, self._queue.popleft())

        simulation.schedule(seconds, end)


class RefusingServer:
    """Answers `capacity` requests at once, and refuses the others."""

    def __init__(self, capacity, seed=0):
        self.capacity = capacity
        self._random = random.Random(seed)
        self._busy = 0

    def receive(self, simulation, attempt):
        if self._busy >= self.capacity:
            refuse(simulation, attempt, OverloadedError("overloaded", status=429))
            return
        self._busy += 1

        def end():
            self._busy -= 1
            simulation.end_attempt(attempt, Outcome(answer(), None, PREFILL))

        simulation.schedule(self._random.uniform(0.5, 1.5), end)


class RatedServer:
    """Answers `rate` requests a second, after a burst of `burst`, and refuses the others."""

    def __init__(self, rate, *, burst, seconds, retry_after=None):
        self.answered = self.refused = 0
        self.asked_at, self.refused_at = [], []
        self._rate = rate
        self._burst = self._level = burst
        self._filled_at = 0.0
        self._seconds = seconds
        self._headers = {} if retry_after is None else {"retry-after": f"{retry_after}"}

    def receive(self, simulation, attempt):
        now = simulation.now
        self._level = min(self._level + (now - self._filled_at) * self._rate, self._burst)
        self._filled_at = now
        self.asked_at.append(now)
        if self._level < 1 - 1e-9:
            self.refused += 1
            self.refused_at.append(now + REFUSAL)
            error = RateLimitError("too many requests", status=429, headers=self._headers)
            refuse(simulation, attempt, error)
            return
        self._level -= 1
        self.answered += 1
        outcome = Outcome(answer(), None, min(self._seconds, PREFILL))
        simulation.schedule(self._seconds, lambda: simulation.end_attempt(attempt, outcome))


class PickyServer:
    """Refuses the rows with these indices; another server answers the others."""

    def __init__(self, server, refused_rows, make_error):
        self.asked = 0
        self._server = server
        self._refused_rows = refused_rows
        self._make_error = make_error

    def receive(self, simulation, attempt):
        if attempt.job.index in self._refused_rows:
            self.asked += 1
            refuse(simulation, attempt, self._make_error())
        else:
            self._server.receive(simulation, attempt)


def refuse(simulation, attempt, error):
    simulation.schedule(REFUSAL, lambda: simulation.end_attempt(attempt, Outcome([], error)))


class Simulation:
    """A dispatcher with endless rows and simulated servers, by URL."""

    def __init__(self, servers, **options):
        self.now = 0.0
        self.servers = servers
        self.dispatcher = Dispatcher(make_plan(urls=tuple(servers), **options), draw=lambda: 0.5)
        self.done = 0
        self.errors = []
        self._events = []
        self._order = count()

    def schedule(self, seconds, event):
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def end_attempt(self, attempt, outcome):
        self.dispatcher.end_attempt(attempt, outcome, self.now)

    def run(self, seconds):
        """Let this many seconds pass; return the mean window, and the rows done per second."""
        until, done, windows = self.now + seconds, self.done, []
        while True:
            self._dispatch()
            windows.append(self.dispatcher.statistics.concurrency)
            wake = self.dispatcher.wake_at(self.now)
            at = min([time for time, _, _ in self._events[:1]] + [wake or until, until])
            self.now = max(self.now, at)
            if self.now >= until:
                return sum(windows) / len(windows), (self.done - done) / seconds
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()

    def _dispatch(self):
        dispatcher = self.dispatcher
        while True:
            while (attempt := dispatcher.begin_attempt(self.now)) is not None:
                self.servers[attempt.server.url].receive(self, attempt)
            if not dispatcher.wants_row:
                break
            dispatcher.add_row("row", {"inputs": "row"})
        while (result := dispatcher.take_result()) is not None:
            self.done += 1
            if not result.ok:
                self.errors.append(result.index)
