"""The servers: which one is asked next, and which ones are left alone for a while. Pure."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hfgen._core.errors import HfgenError

# So many failures in a row are the server's.
_SEVERAL = 3
# Seconds that it is left alone for then; doubled each time up to the longest.
_REST, _LONGEST_REST = 0.5, 30.0
# After so many attempts to reach a server that has never answered, it is given up.
_PROBES = 5
# Beyond it a float overflows, long after the longest rest.
_MAX_DOUBLINGS = 100

# What is left after an overload.
_OVERLOADED = 0.5
# By how much delays may grow: a factor, and seconds, which are for what fast servers vary by.
_FACTOR, _SLACK = 2.5, 0.01
# What is left if they have grown by more: the less the more they have, between these two.
_SLOWEST, _SLOW = 0.5, 0.85
# How many delays are judged, by their median; that of fewer says little.
_SAMPLE = 8
# Medians among which the least is what the server can do; older ones may be of other times.
_RECENT = 30
# If so many cuts have left more than this of the delays, it is not the window that makes them long:
# prompts have become longer, or the server has other clients.
_CUTS, _IN_VAIN = 3, 0.9


class Window:
    """The window of one server.

    Args:
        least: What it starts at and never falls below.
        most: What it never exceeds.
    """

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self._size = float(least)
        self._doubles = True
        self._cut_at = float("-inf")
        self._delays: list[float] = []
        # How many are judged next: a window's worth, as large as it was when the first was noted.
        self._sample = _SAMPLE
        self._medians: deque[float] = deque(maxlen=_RECENT)
        self._slow: list[float] = []

    @property
    def size(self) -> int:
        """How many requests may be under way."""
        return int(self._size)

    def answered(self, started: float, now: float, delay: float | None, *, is_full: bool) -> None:
        """Take in that an answer has come.

        Args:
            started: When its request went.
            now: What time it is.
            delay: Seconds to the first token, or what stands in for them; None if unknown.
            is_full: Whether the window was used; how large one may be that is not, nobody knows.
        """
        if started < self._cut_at:
            # It tells of the time before.
            return
        if delay is not None and (left := self._left_after(delay)) is not None:
            self._cut(left, now)
        elif is_full:
            growth = 1.0 if self._doubles else 1.0 / self._size
            self._size = min(self._size + growth, self._most)

    def overloaded(self, started: float, now: float) -> bool:
        """Take in that the server has too much to do; return whether the window was cut for it.

        Only requests that went since the last cut tell of a window that is still too large.
        """
        if started < self._cut_at:
            return False
        self._cut(_OVERLOADED, now)
        return True

    def _cut(self, left: float, now: float) -> None:
        self._size = max(self._size * left, self._least)
        self._doubles = False
        self._cut_at = now
        self._delays.clear()

    def _left_after(self, delay: float) -> float | None:
        """Return what is to be left of the window after this delay, None if nothing is wrong."""
        if not self._medians:
            # The first request of all has the server for itself.
            self._medians.append(delay)
        if not self._delays:
            self._sample = max(self.size, _SAMPLE)
        self._delays.append(delay)
        if len(self._delays) < self._sample:
            return None
        typical = median(self._delays)
        self._delays.clear()
        self._medians.append(typical)
        bound = min(self._medians) * _FACTOR + _SLACK
        if typical <= bound:
            self._slow.clear()
            return None
        self._slow.append(typical)
        if len(self._slow) > _CUTS and typical > self._slow.pop(0) * _IN_VAIN:
            self._medians.clear()
            self._medians.append(typical)
            self._slow.clear()
            self._doubles = True
            return None
        return min(max(bound / typical, _SLOWEST), _SLOW)


class Server:
    """One server, as far as the engine knows it.

    Attributes:
        url: Its `api_url`.
        window: How many requests at once it takes.
        in_flight: How many are under way.
        hopeless: Why there is no use in asking it, if it has never answered.
        loading_since: Since when it says that its model is loading, None if it does not.
    """

    def __init__(self, url: str, window: Window) -> None:
        self.url = url
        self.window = window
        self.in_flight = 0
        self.hopeless: HfgenError | None = None
        self.loading_since: float | None = None
        self._failures = 0
        self._rests = 0
        self._cuts = 0
        self._rests_until = float("-inf")
        self._rested_at = float("-inf")
        # Whether it is to prove itself with one request, and whether that is under way.
        self._is_suspect = False
        self._last_begun = float("-inf")

    def room_at(self, now: float) -> float | None:
        """Return when it may be asked, as far as time decides; None if another end must come."""
        if self._is_suspect and self.in_flight:
            return None
        if self.in_flight >= self.window.size:
            return None
        return max(now, self._rests_until)

    def rest_left(self, now: float) -> float:
        """Return the seconds for which it is still left alone."""
        return max(self._rests_until - now, 0.0)

    @property
    def load(self) -> tuple[int, float]:
        """By what the least busy one is chosen."""
        return self.in_flight, self._last_begun

    def begun(self, now: float) -> None:
        """Take in that a request goes to it."""
        self.in_flight += 1
        self._last_begun = now

    def answered(self) -> None:
        """Take in that it is well."""
        self._failures = self._rests = self._cuts = 0
        self._is_suspect = False
        self._rests_until = float("-inf")
        self.loading_since = None

    def overloaded(self, started: float, now: float, asked: float | None, pause: float) -> None:
        """Take in that it has too much to do.

        Args:
            started: When the request went.
            now: What time it is.
            asked: Seconds for which it asks to be left alone, None if it does not.
            pause: Seconds to leave it alone for if fewer requests have not helped, doubled each
                time up to the longest.
        """
        if self.window.overloaded(started, now):
            if self._cuts:
                longer = min(pause * 2.0 ** min(self._cuts - 1, _MAX_DOUBLINGS), _LONGEST_REST)
                self._rest_for(longer, now)
            self._cuts += 1
        if asked is not None:
            self._rest_for(asked, now)

    def failed(self, started: float, now: float, error: HfgenError) -> None:
        """Take in a failure that is the server's and not the row's."""
        self._failures += 1
        if self._failures < _SEVERAL or started < self._rested_at:
            return
        if self._rests >= _PROBES:
            self.hopeless = error
        self.suspect(min(_REST * 2.0 ** min(self._rests, _MAX_DOUBLINGS), _LONGEST_REST), now)
        self._rests += 1

    def suspect(self, seconds: float, now: float) -> None:
        """Leave it alone for so long, and ask with one request then whether it is well."""
        self._is_suspect = True
        self._rested_at = now
        self._rest_for(seconds, now)

    def _rest_for(self, seconds: float, now: float) -> None:
        self._rests_until = max(self._rests_until, now + seconds)


class Fleet:
    """All servers, and how many requests may be under way in all.

    Args:
        urls: Their `api_url`s.
        concurrency: How many requests at once, in all: what to begin with, and the most.

    Attributes:
        servers: The servers.
        in_flight: How many requests are under way at all of them.
    """

    def __init__(self, urls: Sequence[str], concurrency: tuple[int, int]) -> None:
        least, most = concurrency
        # What is fixed is for all together, and who is left takes all of it.
        share = least if least == most else -(-least // len(urls))
        self.servers = tuple(Server(url, Window(share, most)) for url in urls)
        self.in_flight = 0
        self._most = most

    def begun(self, server: Server, now: float) -> None:
        """Take in that a request goes to this one."""
        self.in_flight += 1
        server.begun(now)

    def ended(self, server: Server) -> None:
        """Take in that one has ended there, however it did."""
        self.in_flight -= 1
        server.in_flight -= 1

    @property
    def window(self) -> int:
        """How many may be, if no server rests."""
        return min(sum(server.window.size for server in self.servers), self._most)

    def choose(self, now: float, avoid: Server | None = None) -> Server | None:
        """Return the least busy server that may be asked, another one than `avoid` if possible."""
        if self.in_flight >= self._most:
            return None
        free = [server for server in self.servers if server.room_at(now) == now]
        return min(free, key=lambda s: (s is avoid, *s.load), default=None)

    def room_at(self, now: float) -> float | None:
        """Return when one may be asked, as far as time decides; None if an end must come first."""
        if self.in_flight >= self._most:
            return None
        times = [server.room_at(now) for server in self.servers]
        return min((time for time in times if time is not None), default=None)

    @property
    def hopeless(self) -> HfgenError | None:
        """Why no server is worth asking, None if one is."""
        errors = [server.hopeless for server in self.servers]
        return errors[0] if None not in errors else None
