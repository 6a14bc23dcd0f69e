"""The servers of a bulk run: which one gets the next request, how many, and which ones are paused.

Each `Server` has a `Window`, the number of requests that may be under way there. It is found as TCP
finds its window: it grows while answers come (doubles until the first sign of overload, then grows
by one for each window's worth of answers). When the server refuses a request because of its load,
the window becomes what is under way there without that request: as many as the server has taken.
When first tokens take much longer than before, the server queues requests, and the window shrinks a
little. If a single request at a time is too much, requests keep a minimum distance in time.

A server that fails several times in a row is paused, and then tested with a single request.

Pure: no I/O, and every method is told the time.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hfgen._core.errors import HfgenError

# After this many failures in a row, a server is paused.
_FAILURES_BEFORE_PAUSE = 3
# Seconds of the first pause, which doubles each time, and of the longest one.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
# A server whose test request has failed this many times is given up. `Server.given_up` counts only
# as long as no server has ever answered; see `Dispatcher`.
_MAX_PROBES = 5
# A bound for exponents: 2.0 ** 1024 overflows. The longest pause is reached long before.
_MAX_DOUBLINGS = 100

# After a refusal, the window grows more slowly, by a factor that doubles each time up to this one,
# until it is larger by one than what the server took. So a limit is seldom tried again.
_MAX_SLOWNESS = 4
# After a refusal, requests are spread over the time of an answer: this is the least part of their
# mean distance that two of them keep. A limit of requests a second may not allow two at once.
_LEAST_DISTANCE = 0.6
# The weight of a new value in the moving average of the time of an answer.
_SMOOTHING = 0.1
# The factors of the least distance between two requests: after a refusal, after one that followed
# another one without an answer in between, and after an answer.
_AFTER_REFUSAL, _AFTER_REFUSALS, _AFTER_ANSWER = 1.25, 2.0, 0.99
# The upper bound of the distance, in seconds: a request that ends soon, such as one of an invalid
# row, should not delay the next one for the time of an answer. A server that takes still less
# refuses several requests in a row, and is paused.
_MAX_DISTANCE = 1.0
# Delays are normal up to `_FACTOR` times the least of the recent medians, plus `_SLACK` seconds for
# the jitter of fast servers.
_FACTOR, _SLACK = 2.5, 0.01
# The bounds of the factor by which longer delays shrink the window. Longer delays give a smaller
# factor.
_STRONGEST_SHRINK, _WEAKEST_SHRINK = 0.5, 0.85
# The window is judged by the median of at least this many delays; a median of fewer is too noisy.
_MIN_SAMPLE = 8
# The number of medians that are kept. The least of them is what the server can do; older ones may
# come from a time with other prompts or other clients.
_KEPT_MEDIANS = 30
# If delays are still above `_STILL_SLOW` of what they were after this many cuts, a smaller window
# does not help: prompts have become longer, or the server has other clients. Then it grows again.
_MAX_CUTS, _STILL_SLOW = 3, 0.9


class Window:
    """The number of requests that may be under way at one server.

    Args:
        least: The size at the beginning, and the lower bound as long as nothing is refused.
        most: The upper bound.
    """

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self._size = float(least)
        self._doubles = True
        self._cut_at = float("-inf")
        # The size that the server has refused last, and the factor by which growth is slower.
        self._refused_size = 0.0
        self._slowness = 1
        self._delays: list[float] = []
        # How many delays make the next median: one window's worth when the first of them came.
        self._sample_size = _MIN_SAMPLE
        self._medians: deque[float] = deque(maxlen=_KEPT_MEDIANS)
        # The medians that have cut the window since delays were last normal.
        self._slow_medians: list[float] = []

    @property
    def size(self) -> int:
        """How many requests may be under way."""
        return int(self._size)

    def note_answer(
        self, started: float, now: float, delay: float | None, *, is_full: bool
    ) -> None:
        """Grow or shrink after an answer.

        Args:
            started: When the request was sent.
            now: The current time.
            delay: Seconds to the first token, or an estimate of them; None if unknown.
            is_full: Whether the window was used up. If it was not, the answer does not show that
                the server could take more.
        """
        if started < self._cut_at:
            # The request was sent under the old, larger window.
            return
        if delay is not None and (factor := self._judge_delay(delay)) is not None:
            self._cut(max(self._size * factor, min(self._least, self._size)), now)
        elif is_full:
            if self._size > self._refused_size:
                self._slowness = 1
            growth = 1.0 if self._doubles else 1.0 / (self._size * self._slowness)
            self._size = min(self._size + growth, self._most)

    def note_refusal(self, started: float, now: float, in_flight: int) -> None:
        """Shrink after a refusal.

        Args:
            started: When the request was sent.
            now: The current time.
            in_flight: How many other requests are under way.
        """
        if started >= self._cut_at:
            self._slowness = min(self._slowness * 2, _MAX_SLOWNESS)
        self._cut(float(max(min(in_flight, self.size), 1)), now)
        self._refused_size = self._size + 1.0

    def _cut(self, size: float, now: float) -> None:
        self._size = size
        self._doubles = False
        self._cut_at = now
        self._delays.clear()

    def _judge_delay(self, delay: float) -> float | None:
        """Return the factor by which this delay shrinks the window, None if it does not."""
        if not self._medians:
            # The first request has the server for itself. Later delays are compared with its delay.
            self._medians.append(delay)
        if not self._delays:
            self._sample_size = max(self.size, _MIN_SAMPLE)
        self._delays.append(delay)
        if len(self._delays) < self._sample_size:
            return None
        typical = median(self._delays)
        self._delays.clear()
        self._medians.append(typical)
        bound = min(self._medians) * _FACTOR + _SLACK
        if typical <= bound:
            self._slow_medians.clear()
            return None
        self._slow_medians.append(typical)
        has_many_cuts = len(self._slow_medians) > _MAX_CUTS
        if has_many_cuts and typical > self._slow_medians.pop(0) * _STILL_SLOW:
            # Cuts do not help: these delays count as normal from now on.
            self._medians.clear()
            self._medians.append(typical)
            self._slow_medians.clear()
            self._doubles = True
            return None
        return min(max(bound / typical, _STRONGEST_SHRINK), _WEAKEST_SHRINK)


class Server:
    """What is known about one server.

    Attributes:
        url: Its `api_url`.
        window: How many requests it takes at once.
        in_flight: How many requests are under way there.
        given_up: The error for which it is not worth asking, None if there is none.
        loading_since: Since when it reports that its model is loading; infinity if it does not.
    """

    def __init__(self, url: str, window: Window) -> None:
        self.url = url
        self.window = window
        self.in_flight = 0
        self.given_up: HfgenError | None = None
        self.loading_since = float("inf")
        # These are counted since the last answer.
        self._failures = 0
        self._pauses = 0
        # The refusals of requests sent since the last one, without an answer to such a request.
        self._refusals = 0
        self._refused_at = float("-inf")
        # The least time between the starts of two requests, if one at a time is too much.
        self._distance = 0.0
        # A moving average of the time from a request to the end of its answer.
        self._seconds_per_answer: float | None = None
        # When the newest request was sent that has been answered.
        self._answered_start = float("-inf")
        self._paused_until = float("-inf")
        self._paused_at = float("-inf")
        # Whether it gets a single test request after the pause, until it answers.
        self._is_on_probe = False
        self._last_start = float("-inf")

    def free_at(self, now: float) -> float | None:
        """Return when it can take a request: `now`, or the end of its pause.

        None if that depends on the end of a request that is under way.
        """
        if self._is_on_probe and self.in_flight:
            return None
        if self.in_flight >= self.window.size:
            return None
        return max(now, self._paused_until, self._last_start + self._find_distance())

    def _find_distance(self) -> float:
        """Return the least time between the starts of two requests."""
        if self._refused_at == float("-inf"):
            return 0.0
        spread = (self._seconds_per_answer or 0.0) / self.window.size * _LEAST_DISTANCE
        return min(max(self._distance, spread), _MAX_DISTANCE)

    def has_answered_since(self, time: float) -> bool:
        """Tell whether it has answered a request that was sent at this time or later."""
        return self._answered_start >= time

    def pause_left(self, now: float) -> float:
        """Return the seconds for which it is still paused, 0 if it is not."""
        return max(self._paused_until - now, 0.0)

    @property
    def load(self) -> tuple[int, float]:
        """A sort key: the least busy server comes first, of equal ones the one longest unused."""
        return self.in_flight, self._last_start

    def note_start(self, now: float) -> None:
        """Count a request that is sent there."""
        self.in_flight += 1
        self._last_start = now

    def note_answer(
        self, started: float, now: float, delay: float | None = None, *, is_full: bool = False
    ) -> None:
        """Forget failures, because the server works; see `Window.note_answer` for the arguments.

        Pauses go on: the request was sent before them.
        """
        self._failures = self._pauses = 0
        self._is_on_probe = False
        self.loading_since = float("inf")
        self._answered_start = max(self._answered_start, started)
        seconds = now - started
        mean = seconds if self._seconds_per_answer is None else self._seconds_per_answer
        self._seconds_per_answer = mean + _SMOOTHING * (seconds - mean)
        if started >= self._refused_at:
            self._refusals = 0
            self._distance *= _AFTER_ANSWER
            if self._distance < seconds:
                # One request at a time keeps the distance by itself.
                self._distance = 0.0
        self.window.note_answer(started, now, delay, is_full=is_full and not self._distance)

    def note_refusal(self, started: float, now: float, retry_after: float, pause: float) -> None:
        """Ask for less, because the server has refused a request for its load.

        Args:
            started: When the request was sent.
            now: The current time.
            retry_after: Seconds of pause that the server asks for, 0 if it asks for none.
            pause: Seconds of pause from the second refusal in a row on; each further one doubles
                them, up to the longest pause.
        """
        self._pause(retry_after, now)
        is_single = self.window.size == 1
        self.window.note_refusal(started, now, self.in_flight)
        if started < self._refused_at:
            # It was sent before the last refusal, and does not show that it is still too much.
            return
        self._refused_at = now
        if is_single:
            factor = _AFTER_REFUSALS if self._refusals else _AFTER_REFUSAL
            distance = max(self._distance, self._seconds_per_answer or now - started)
            self._distance = min(distance * factor, _MAX_DISTANCE)
        if self._refusals:
            seconds = pause * 2.0 ** min(self._refusals - 1, _MAX_DOUBLINGS)
            self._pause(min(seconds, _LONGEST_PAUSE), now)
        self._refusals += 1

    def note_failure(self, started: float, now: float, error: HfgenError) -> None:
        """Count a failure for which the row is not to blame; pause the server after several."""
        self._failures += 1
        # Requests that were under way when the pause began do not make the next one longer.
        if self._failures < _FAILURES_BEFORE_PAUSE or started < self._paused_at:
            return
        if self._pauses >= _MAX_PROBES:
            self.given_up = error
        seconds = _FIRST_PAUSE * 2.0 ** min(self._pauses, _MAX_DOUBLINGS)
        self.probe_after(min(seconds, _LONGEST_PAUSE), now)
        self._pauses += 1

    def probe_after(self, seconds: float, now: float) -> None:
        """Pause the server, then let a single request test it."""
        self._is_on_probe = True
        self._paused_at = now
        self._pause(seconds, now)

    def _pause(self, seconds: float, now: float) -> None:
        self._paused_until = max(self._paused_until, now + seconds)


class Servers:
    """All servers of a run, with a limit for all of them together.

    Args:
        urls: Their `api_url`s.
        concurrency: How many requests at once, over all servers: at the beginning, and at most.

    Attributes:
        all: The servers, in the order of `urls`.
        in_flight: How many requests are under way, over all servers.
    """

    def __init__(self, urls: Sequence[str], concurrency: tuple[int, int]) -> None:
        least, most = concurrency
        # Each server gets its share of the beginning, rounded up. A fixed number is not shared: if
        # some servers are paused, the others get all of it.
        share = least if least == most else -(-least // len(urls))
        self.all = tuple(Server(url, Window(share, most)) for url in urls)
        self.in_flight = 0
        self._most = most

    @property
    def window(self) -> int:
        """How many requests may be under way over all servers, if none is paused."""
        return min(sum(server.window.size for server in self.all), self._most)

    @property
    def given_up(self) -> HfgenError | None:
        """The first server's error if all servers are given up, else None."""
        errors = [server.given_up for server in self.all]
        return errors[0] if None not in errors else None

    def choose(self, now: float, avoid: Server | None = None) -> Server | None:
        """Return the least busy free server, None if none is free.

        Args:
            now: The current time.
            avoid: The server that is chosen only if no other one is free.
        """
        if self.in_flight >= self._most:
            return None
        free = [server for server in self.all if server.free_at(now) == now]
        return min(free, key=lambda server: (server is avoid, *server.load), default=None)

    def free_at(self, now: float) -> float | None:
        """Return when the first server can take a request.

        None if that depends on the end of a request that is under way.
        """
        if self.in_flight >= self._most:
            return None
        times = [server.free_at(now) for server in self.all]
        return min((time for time in times if time is not None), default=None)

    def note_start(self, server: Server, now: float) -> None:
        """Count a request that is sent to this server."""
        self.in_flight += 1
        server.note_start(now)

    def note_end(self, server: Server) -> None:
        """Count the end of a request at this server, whether it was answered or not."""
        self.in_flight -= 1
        server.in_flight -= 1
