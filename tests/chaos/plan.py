"""Plans of calls and of answers, with what goes wrong: drawn for each stream by itself.

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

# What a server says inside a stream that it cannot go on with; "" for ending it in good order.
_FAULTS = ("incomplete_generation_stream", "generation", "overloaded", "")
_ASKED_WAITS = (
    ("retry-after", "0"),
    ("retry-after-ms", "40"),
    # Longer than a client waits: it fails at once.
    ("retry-after", "3600"),
)


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A call that is made, and how its caller behaves.

    Attributes:
        number: Which stream it is.
        verb: The method that is called.
        resume: Whether a broken stream is to be picked up.
        max_retries: How often it is tried again.
        total: The limit for all of it, in seconds; None for none.
        details: Whether the last event is to have details.
        endpoint: Where it knocks: "shut" refuses connections, "slammed" closes them unheard.
        leaving: How the caller leaves, if it does.
        after: After how many items it does, or hundredths of a second for a "late abort".
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
        ways: tuple[Departure, ...] = ("break", "close", "drop", "abort", "late abort")
        way = rng.choice((*ways, "cancel") if side == "async" else ways)
        stays = rng.random() < 0.75 or (verb == "run" and way not in {"late abort", "cancel"})
        return CallPlan(
            number=number,
            verb=verb,
            resume=resumes and verb in {"stream", "stream_tokens"},
            max_retries=rng.choice((0, 2, 4, 4)),
            total=rng.choices((None, 0.6), (9, 1))[0],
            details=rng.random() < 0.5,
            endpoint=rng.choices(("open", "shut", "slammed"), (30, 1, 1))[0],
            leaving="stays" if stays else way,
            after=rng.randint(1, 8),
        )


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """What befalls one request.

    Attributes:
        end: How the answer ends: as a "whole"; by the end of the connection ("cut") or a "reset";
            by a "stall", which lasts until the client hangs up; or before it has begun, by a
            "drop", or because the proxy says that it is "busy".
        at: Where it does, as a part of the whole answer.
        wait: Seconds before anything is said.
        piece: The most bytes that are passed on at once.
        pause: The most seconds between two pieces.
        framing: How the body's end is told.
        fault: After so many parts of the events the server fails, with these words; None if not.
        status: What the proxy answers where it is busy, and with which header.
        parting: What becomes of the idle connection after a whole answer.
        parting_wait: Seconds until then.
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
    def lives_on(self) -> bool:
        """Whether the connection is open after the answer, unless it is parted with."""
        return self.end in {"whole", "busy"} and self.framing != "close"

    @property
    def headers(self) -> dict[str, str]:
        """What the upstream is told of it."""
        fault = {} if self.fault is None else {"x-fault": f"{self.fault[0]} {self.fault[1]}"}
        return {"x-framing": self.framing, **fault}

    @staticmethod
    def of(seed: int, call_plan: CallPlan, attempt: int) -> AnswerPlan:
        rng = random.Random(f"fate {seed} {call_plan.number} {attempt}")
        ends: tuple[End, ...] = ("whole", "cut", "reset", "stall", "drop", "busy")
        # The later, the milder: what is tried again often enough comes to its end.
        end = rng.choices(ends, (6 + 6 * attempt, 4, 3, 1, 1, 1))[0]
        if call_plan.leaving != "stays" and end == "whole":
            # Or leaving could not be told from reading on.
            end = "stall"
        fault = (rng.random(), rng.choice(_FAULTS)) if rng.random() < 0.15 else None
        if fault is not None and fault[1] == "overloaded":
            # A server says so in place of the first token.
            fault = (0.0, "overloaded")
        return AnswerPlan(
            end=end,
            at=rng.random(),
            wait=rng.choice((0.0, 0.0, rng.uniform(0.0, 0.3))),
            piece=rng.choices((3, 40, 400, 4000), (1, 4, 4, 2))[0],
            pause=rng.choice((0.0, 0.005, 0.02)),
            framing=rng.choices(("chunked", "length", "close"), (4, 1, 1))[0],
            fault=fault,
            status=(rng.choice((429, 503)), rng.choices(_ASKED_WAITS, (4, 4, 1))[0]),
            parting=rng.choices(("kept", "cut", "reset"), (6, 2, 1))[0],
            parting_wait=rng.choice((0.0, rng.uniform(0.0, 0.2))),
        )
