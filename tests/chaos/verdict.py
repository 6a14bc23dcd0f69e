"""The verdict on a stream: what its caller was handed, compared with what was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hfgen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.callers import Outcome
    from chaos.generation import Generation
    from chaos.plan import CallPlan
    from chaos.proxy import Exchange

BEHIND = "behind"
"""The verdict on a client that ran out of time and had not read all that was there."""

_BROKEN = (hfgen.ConnectError, hfgen.IncompleteGenerationError)
# What comes of a body cut in the middle where nothing says that it was cut.
_CUT_UNSEEN = (*_BROKEN, hfgen.MalformedAnswerError)
_OWN_DOING = (hfgen.TimeoutError, hfgen.AbortError)


@dataclass(frozen=True, slots=True)
class StreamJudge:
    """Judges one stream.

    Args:
        generation: What was to be generated.
        call_plan: The call, and how its caller behaved.
        exchanges: What was sent, in answer to each request.
        outcome: What the caller was handed.
    """

    generation: Generation
    call_plan: CallPlan
    exchanges: Sequence[Exchange]
    outcome: Outcome

    def judge(self) -> str:
        """Return how it ended: "whole", "resumed", "left", `BEHIND`, or the name of its error.

        Raises:
            AssertionError: It must not end like that.
        """
        assert self.outcome.ending is not None, "has no end"
        self._check_requests()
        if self.outcome.ending == "whole":
            return self._judge_whole()
        if self.outcome.ending == "failed":
            return self._judge_failed()
        assert self.call_plan.leaving != "stays", "was cancelled by nobody"
        self._check_part()
        return "left"

    def _check_requests(self) -> None:
        """Check that each request asked for what was missing after the one before."""
        for before, after in zip(self.exchanges, self.exchanges[1:], strict=False):
            had, has = self._text(before), self._base(after)
            if self._may_lose(before):
                assert had.startswith(has), f"asks to go on after {has!r}; sent was {had!r}"
            else:
                assert has == had, f"asks to go on after {has!r}; sent was {had!r}"
            assert has == self._base(before) or self.call_plan.resume, "went on unasked"
        attempts = len(self.exchanges)
        fresh = {self._base(exchange) for exchange in self.exchanges}
        assert attempts <= len(fresh) * (1 + self.call_plan.max_retries), f"{attempts} attempts"

    def _judge_whole(self) -> str:
        exchange, verb = self.exchanges[-1], self.call_plan.verb
        got = exchange.received
        if verb == "stream_bytes":
            handed = b"".join(self.outcome.items)
            assert handed == got.body, f"handed {handed!r} as the whole of {got.body!r}"
            assert got.is_whole or self._ended_in_order(exchange), "a broken body as a whole one"
            return "whole"
        if verb == "run":
            texts = [answer.generated_text for answer in self.outcome.items]
            assert texts == [self.generation.text], f"{texts} is not the whole text"
            return "whole"
        assert self._handed() == self.generation.text, f"{self._handed()!r} is not the whole text"
        if verb == "stream":
            self._check_chunks()
        return "resumed" if self._base(exchange) else "whole"

    def _check_chunks(self) -> None:
        chunks, count = self.outcome.items, len(self.generation.tokens)
        said = [(chunk.index, chunk.token.text, chunk.generated_text) for chunk in chunks]
        wholes = [None] * (count - 1) + [self.generation.text]
        right = list(zip(range(1, count + 1), self.generation.tokens, wholes, strict=True))
        assert said == right, f"{said} should be {right}"
        seam = min(
            (
                told
                for exchange in self.exchanges
                if (told := self.generation.count_known_tokens(exchange.request))
            ),
            default=count,
        )
        resumed = [chunk.resumed for chunk in chunks]
        assert resumed == [i >= seam for i in range(count)], f"{resumed}, but the seam is at {seam}"
        if self.call_plan.details:
            counted = chunks[-1].details.generated_tokens
            assert counted == count, f"{counted} of {count} tokens"

    def _judge_failed(self) -> str:
        error = self.outcome.error
        assert isinstance(error, hfgen.HfgenError), f"raised {error!r}"
        assert isinstance(error, self._fitting_errors()), f"raised {error!r}"
        handed = self._handed()
        assert error.text == handed, f"the error says {error.text!r}, handed was {handed!r}"
        self._check_part()
        name = type(error).__name__
        if not self.exchanges or self._has_all():
            return name
        if isinstance(error, _OWN_DOING):
            # Whoever leaves may have left some unread.
            has_stalled = self.exchanges[-1].end == "stall" and isinstance(
                error, hfgen.TimeoutError
            )
            return BEHIND if has_stalled else name
        assert self._may_lose(self.exchanges[-1]), f"handed {self._part()} and no more"
        return name

    def _fitting_errors(self) -> tuple[type[Exception], ...]:
        """Return what may be raised after what was sent last."""
        is_abort = self.call_plan.leaving in {"abort", "late abort"}
        own = _OWN_DOING if is_abort else (hfgen.TimeoutError,)
        if not self.exchanges:
            return (*own, hfgen.ConnectError)
        exchange = self.exchanges[-1]
        if self._has_fault(exchange):
            return (*own, hfgen.StatusError, *_CUT_UNSEEN)
        if exchange.end == "busy" or self._may_lose(exchange):
            return (*own, *_BROKEN, hfgen.StatusError)
        if exchange.end in {"whole", "stall"}:
            return own
        return (*own, *(_CUT_UNSEEN if self._ended_in_order(exchange) else _BROKEN))

    def _check_part(self) -> None:
        """Check that what was handed is the beginning of what was sent, and after every seam."""
        if not self.exchanges or self.call_plan.verb == "run":
            assert not self.outcome.items, f"handed {self.outcome.items} of nothing"
            return
        handed, sent = self._part()
        assert sent.startswith(handed), f"handed {handed!r} of {sent!r}"
        if self.call_plan.verb != "stream_bytes":
            assert self._handed().startswith(self._base(self.exchanges[-1])), "asked to skip some"

    def _has_all(self) -> bool:
        """Tell whether the caller was handed all that was sent."""
        handed, sent = self._part()
        return handed == sent

    def _part(self) -> tuple[bytes, bytes]:
        """Return what was handed, and what was sent; the text, unless the caller wanted bytes."""
        last = self.exchanges[-1]
        if self.call_plan.verb == "stream_bytes":
            return b"".join(self.outcome.items), last.received.body
        return self._handed().encode(), self._text(last).encode()

    def _handed(self) -> str:
        items: list[Any] = self.outcome.items
        texts: list[str] = items if self.call_plan.verb == "stream_tokens" else []
        if self.call_plan.verb == "stream":
            texts = [chunk.token.text for chunk in items if not chunk.token.special]
        return "".join(texts)

    def _base(self, exchange: Exchange) -> str:
        return self.generation.text_of(self.generation.count_known_tokens(exchange.request))

    def _text(self, exchange: Exchange) -> str:
        """Return the text that the client has if it read all that was sent."""
        if self.call_plan.verb in {"run", "stream_bytes"}:
            return self._base(exchange)
        events: list[dict[str, Any]] = exchange.received.events(
            is_end=self._ended_in_order(exchange)
        )
        tokens = [event["token"] for event in events if "token" in event]
        texts = [token["text"] for token in tokens if not token["special"]]
        return self._base(exchange) + "".join(texts)

    def _has_fault(self, exchange: Exchange) -> bool:
        return exchange.answer_plan.fault is not None and self.call_plan.verb in {
            "stream",
            "stream_tokens",
        }

    @staticmethod
    def _ended_in_order(exchange: Exchange) -> bool:
        """Tell whether the end of the connection was the end of the body."""
        return exchange.received.framing == "close" and exchange.end in {"whole", "cut"}

    def _may_lose(self, exchange: Exchange) -> bool:
        # A reset makes the client's system throw away what has arrived and was not yet read, also
        # when it follows a whole answer. What can be said then is that the client was handed a
        # beginning, that its error says the same, and that it goes on from there.
        answer_plan = exchange.answer_plan
        if self.call_plan.verb == "stream_bytes" and answer_plan.fault == (0.0, "overloaded"):
            # Tried again, and none of it handed out.
            return True
        return exchange.end == "reset" or (
            exchange.end == answer_plan.end
            and answer_plan.lives_on
            and answer_plan.parting == "reset"
        )
