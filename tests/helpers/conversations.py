"""Conversations that a test leads by hand: a clock that stands, and what a verb accepts."""

from functools import partial

from hfgen._core.dialects.tgi import TGI
from hfgen._core.settings import Settings


class StoppedClock:
    """The clock of a call: as many seconds have passed as the test says."""

    def __init__(self, elapsed=0.0, now=0.0):
        self.seconds = elapsed
        self.time = now

    def elapsed(self):
        return self.seconds

    def now(self):
        return self.time


def accept_with(verb, dialect=None):
    """Return what a verb makes of an answer, as the conversation takes it."""
    return partial(verb({}, Settings()).accept, dialect or TGI())
