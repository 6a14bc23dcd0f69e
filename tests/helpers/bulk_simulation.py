"""A dispatcher with simulated servers and a simulated clock: minutes in milliseconds."""

import heapq
import random
from collections import deque
from itertools import count

from hfgen import Details, GeneratedText, OverloadedError
from hfgen._bulk.dispatcher import Dispatcher, Outcome
from hfgen._bulk.plan import BulkPlan

URL = "http://simulated"
PREFILL = 0.05


def answer(text="a", tokens=10, prompt=5):
    details = Details(finish_reason="length", generated_tokens=tokens, input_length=prompt)
    return [GeneratedText(generated_text=text, details=details)]


def planned(concurrency=(1, 256), **what):
    pair = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    return BulkPlan(**{"urls": (URL,), "concurrency": pair} | what)


class Queueing:
    """Answers so many at once; the rest waits, and its first tokens with it."""

    def __init__(self, capacity, seed=0):
        self.capacity = capacity
        self._random = random.Random(seed)
        self._busy = 0
        self._queue = deque()

    def asked(self, simulation, attempt):
        if self._busy >= self.capacity:
            self._queue.append(attempt)
            return
        self._busy += 1
        seconds = self._random.uniform(0.5, 1.5)
        first = simulation.now + PREFILL * self._random.uniform(0.8, 1.2) - attempt.started
        outcome = Outcome(answer(), None, first)

        def end():
            self._busy -= 1
            simulation.ended(attempt, outcome)
            while self._queue and self._busy < self.capacity:
                self.asked(simulation, self._queue.popleft())

        simulation.after(seconds, end)


class Refusing:
    """Answers so many at once, and refuses the rest."""

    def __init__(self, capacity, seed=0):
        self.capacity = capacity
        self._random = random.Random(seed)
        self._busy = 0

    def asked(self, simulation, attempt):
        if self._busy >= self.capacity:
            error = OverloadedError("overloaded", status=429)
            simulation.after(0.005, lambda: simulation.ended(attempt, Outcome([], error)))
            return
        self._busy += 1

        def end():
            self._busy -= 1
            simulation.ended(attempt, Outcome(answer(), None, PREFILL))

        simulation.after(self._random.uniform(0.5, 1.5), end)


class Simulation:
    """Runs a dispatcher over endless rows against servers."""

    def __init__(self, servers, **what):
        self.now = 0.0
        self.servers = servers
        self.dispatcher = Dispatcher(planned(urls=tuple(servers), **what), draw=lambda: 0.5)
        self.windows = []
        self.done = 0
        self._events = []
        self._order = count()
        self._rings_at = None

    def after(self, seconds, event):
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def ended(self, attempt, outcome):
        self.dispatcher.ended(attempt, outcome, self.now)

    def run(self, seconds):
        """Let so many seconds pass, and return the mean window and the rows done a second."""
        until, done, windows = self.now + seconds, self.done, []
        while True:
            self._go_on()
            windows.append(self.dispatcher.statistics.concurrency)
            wake = self.dispatcher.wake_at(self.now)
            at = min([e[0] for e in self._events[:1]] + [wake or until, until])
            self.now = max(self.now, at)
            if self.now >= until:
                return sum(windows) / len(windows), (self.done - done) / seconds
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()

    def _go_on(self):
        dispatcher = self.dispatcher
        while True:
            while (attempt := dispatcher.begin(self.now)) is not None:
                self.servers[attempt.server.url].asked(self, attempt)
            if not dispatcher.wants_row:
                break
            dispatcher.add("row", {"inputs": "row"})
        while dispatcher.take() is not None:
            self.done += 1
