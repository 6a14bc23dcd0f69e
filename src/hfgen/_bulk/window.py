"""How many requests at once a server takes: found out as TCP finds its window. Pure.

It grows while answers come (doubling until the first sign of too much, then by one a window's worth
of answers), halves when the server says that it is too much, and shrinks a little when first tokens
take much longer than they did: then the server queues what it is sent.
"""

from __future__ import annotations

from collections import deque
from statistics import median

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
