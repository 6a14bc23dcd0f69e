"""Plans of calls and of answers, with their faults: drawn for each stream separately.

A call's plan is drawn from the seed and the number of its stream; the plan of an answer, from these
and the number of the attempt. So neither threads nor the speed of the machine change the plans.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

End: TypeAlias = Literal["whole", "cut", "reset", "stall", "drop", "busy"]
Framing: TypeAlias = Literal["chunked", "length", "close"]
Endpoint: TypeAlias = Literal["open", "shut", "slammed"]
Departure: TypeAlias = Literal["stays", "break", "close", "drop", "abort", "late abort", "cancel"]

# Error types that a server sends inside a stream; "": it ends the stream without an error.
_FAULTS = ("incomplete_generation_stream", "generation", "overloaded", "")
_RETRY_HEADERS = (
    ("retry-after", "0"),
    ("retry-after-ms", "40"),
    # Longer than a client waits, so that it fails at once.
    ("retry-after", "3600"),
)


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A call that is made, and how its caller behaves.

    Attributes:
        number: The number of the stream.
        verb: The method that is called.
        resume: Whether a broken stream is resumed.
        max_retries: The option of that name.
        total: The limit for the whole call, in seconds; None for no limit.
        details: Whether the last event has details.
        endpoint: Where it connects to: "shut" refuses connections, "slammed" resets them.
        leaving: How the caller leaves the stream, if it does.
        after: After how many items it leaves; for a "late abort", in hundredths of a second.
    """

    number: int
    verb: Literal["run", "stream", "stream_tokens", "stream_bytes"]
    resume: bool
    max_retries: int
    total: float | None
    details: bool
    endpoint: Endpoint
    leaving: Departure
    after: int

    @staticmethod
    def of(seed: int, number: int, side: Literal["sync", "async"]) -> CallPlan:
        rng = random.Random(f"errand {seed} {number}")
        verb: Literal["run", "stream", "stream_tokens", "stream_bytes"] = rng.choices(
            ("stream", "stream_tokens", "stream_bytes", "run"), (4, 4, 2, 1)
        )[0]
        resumes = rng.random() < 0.6
        departures: tuple[Departure, ...] = ("break", "close", "drop", "abort", "late abort")
        departure = rng.choice((*departures, "cancel") if side == "async" else departures)
        stays = rng.random() < 0.75 or (verb == "run" and departure not in {"late abort", "cancel"})
        return CallPlan(
            number=number,
            verb=verb,
            resume=resumes and verb in {"stream", "stream_tokens"},
            max_retries=rng.choice((0, 2, 4, 4)),
            total=rng.choices((None, 0.6), (9, 1))[0],
            details=rng.random() < 0.5,
            endpoint=rng.choices(("open", "shut", "slammed"), (30, 1, 1))[0],
            leaving="stays" if stays else departure,
            after=rng.randint(1, 8),
        )


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """How the answer to one request is treated.

    Attributes:
        end: How the answer ends: complete ("whole"); by the end of the connection ("cut") or a
            "reset"; by a "stall", which lasts until the client hangs up; or before it has begun,
            by a "drop" or by an answer that the proxy is "busy".
        at: Where it ends, as a fraction of the whole answer.
        wait: Seconds before the first byte.
        piece: The most bytes that are passed on at once.
        pause: The most seconds between two pieces.
        framing: How a client learns where the body ends.
        fault: After which fraction of the events the server fails, and its error type; None: it
            does not fail.
        status: The status of a busy proxy, and its header.
        parting: What the proxy does with the idle connection after a whole answer.
        parting_wait: Seconds until it does that.
    """

    end: End
    at: float
    wait: float
    piece: int
    pause: float
    framing: Framing
    fault: tuple[float, str] | None
    status: tuple[int, tuple[str, str]]
    parting: Literal["kept", "cut", "reset"]
    parting_wait: float

    @property
    def keeps_connection(self) -> bool:
        """Whether the connection stays open after the answer, before `parting`."""
        return self.end in {"whole", "busy"} and self.framing != "close"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that tell the upstream of the plan."""
        fault = {} if self.fault is None else {"x-fault": f"{self.fault[0]} {self.fault[1]}"}
        return {"x-framing": self.framing, **fault}

    @staticmethod
    def of(seed: int, call_plan: CallPlan, attempt: int) -> AnswerPlan:
        rng = random.Random(f"fate {seed} {call_plan.number} {attempt}")
        ends: tuple[End, ...] = ("whole", "cut", "reset", "stall", "drop", "busy")
        # Later attempts fail less often, so that a stream that is retried often comes to its end.
        end = rng.choices(ends, (6 + 6 * attempt, 4, 3, 1, 1, 1))[0]
        if call_plan.leaving != "stays" and end == "whole":
            # With a whole answer, leaving would look like reading to the end.
            end = "stall"
        fault = (rng.random(), rng.choice(_FAULTS)) if rng.random() < 0.15 else None
        if fault is not None and fault[1] == "overloaded":
            # A server sends this error in place of the first token.
            fault = (0.0, "overloaded")
        return AnswerPlan(
            end=end,
            at=rng.random(),
            wait=rng.choice((0.0, 0.0, rng.uniform(0.0, 0.3))),
            piece=rng.choices((3, 40, 400, 4000), (1, 4, 4, 2))[0],
            pause=rng.choice((0.0, 0.005, 0.02)),
            framing=rng.choices(("chunked", "length", "close"), (4, 1, 1))[0],
            fault=fault,
            status=(rng.choice((429, 503)), rng.choices(_RETRY_HEADERS, (4, 4, 1))[0]),
            parting=rng.choices(("kept", "cut", "reset"), (6, 2, 1))[0],
            parting_wait=rng.choice((0.0, rng.uniform(0.0, 0.2))),
        )
