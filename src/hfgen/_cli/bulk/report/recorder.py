"""Takes note of a run while it goes on, for the page at its end; constant in size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfgen._cli.bulk.report.timeline import MOST_NAMES, Timeline

if TYPE_CHECKING:
    from hfgen._bulk.results import BulkResult

# Characters of a message that the page shows.
_MESSAGE = 300


class Recorder:
    """Takes note of results, and of samples in between.

    Attributes:
        timeline: What happened when.
        messages: For each type of error the message of the first one.
        seconds: How far the run has come, in seconds from its start.
    """

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.messages: dict[str, str] = {}
        self.seconds = 0.0
        self._retries = 0

    def add(self, result: BulkResult[Any], seconds: float) -> None:
        """Take note of a finished row.

        Args:
            result: The row's result.
            seconds: When, from the start of the run.
        """
        self.seconds = max(self.seconds, seconds)
        bin_ = self.timeline.at(seconds)
        if result.error is not None:
            name = type(result.error).__name__
            bin_.fail({name: 1})
            if len(self.messages) < MOST_NAMES:
                message = " ".join(result.error.message.split())
                self.messages.setdefault(name, message[:_MESSAGE])
            return
        bin_.rows += 1
        bin_.tokens += result.generated_tokens or 0
        if result.latency is not None:
            bin_.latency.add(result.latency)
        if result.time_to_first_token is not None:
            bin_.time_to_first_token.add(result.time_to_first_token)

    def sample(self, seconds: float, *, in_flight: int, limit: int, retries: int) -> None:
        """Take note of the state of the run.

        Args:
            seconds: When, from the start of the run.
            in_flight: How many requests are under way.
            limit: How many may be.
            retries: How many attempts have been made again, from the start on.
        """
        self.seconds = max(self.seconds, seconds)
        bin_ = self.timeline.at(seconds)
        bin_.in_flight = max(bin_.in_flight, in_flight)
        bin_.limit = max(bin_.limit, limit)
        bin_.retries += retries - self._retries
        self._retries = retries
        self.timeline.in_flight, self.timeline.limit = in_flight, limit
