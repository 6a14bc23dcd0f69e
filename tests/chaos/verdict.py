"""The verdict on a stream: compares what its caller received with what was sent."""

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
"""The verdict on a client that timed out before it had read everything that was sent."""

_BROKEN = (hfgen.ConnectError, hfgen.IncompleteGenerationError)
# Errors after a body that was cut in the middle, where the framing does not tell so.
_CUT_UNSEEN = (*_BROKEN, hfgen.MalformedAnswerError)
_CALLERS_ERRORS = (hfgen.TimeoutError, hfgen.AbortError)


@dataclass(frozen=True, slots=True)
class StreamJudge:
    """Judges one stream.

    Args:
        generation: The generation that the prompt leads to.
        call_plan: The call, and how its caller behaved.
        exchanges: The requests, and what was sent in answer to each.
        outcome: What the caller received.
    """

    generation: Generation
    call_plan: CallPlan
    exchanges: Sequence[Exchange]
    outcome: Outcome

    def judge(self) -> str:
        """Return how it ended: "whole", "resumed", "left", `BEHIND`, or the name of its error.

        Raises:
            AssertionError: The stream must not end like that.
        """
        assert self.outcome.ending is not None, "has no end"
        self._check_requests()
        if self.outcome.ending == "whole":
            return self._judge_whole()
        if self.outcome.ending == "failed":
            return self._judge_failed()
        assert self.call_plan.leaving != "stays", "ended as left, but its caller stays"
        self._check_part()
        return "left"

    def _check_requests(self) -> None:
        """Check that each request asked for what was missing after the one before."""
        for previous, following in zip(self.exchanges, self.exchanges[1:], strict=False):
            sent_text, prompted_text = self._sent_text(previous), self._prompted_text(following)
            message = f"asks to continue after {prompted_text!r}; sent was {sent_text!r}"
            if self._may_lose_bytes(previous):
                assert sent_text.startswith(prompted_text), message
            else:
                assert prompted_text == sent_text, message
            assert prompted_text == self._prompted_text(previous) or self.call_plan.resume, (
                "went on unasked"
            )
        # A request that a kept connection did not answer is sent again, and is no attempt.
        attempts = sum(bool(e.sent) or not e.is_reused for e in self.exchanges)
        prompted_texts = {self._prompted_text(exchange) for exchange in self.exchanges}
        assert attempts <= len(prompted_texts) * (1 + self.call_plan.max_retries), (
            f"{attempts} attempts"
        )

    def _judge_whole(self) -> str:
        exchange, verb = self.exchanges[-1], self.call_plan.verb
        answer = exchange.received
        if verb == "stream_bytes":
            received = b"".join(self.outcome.items)
            assert received == answer.body, f"handed {received!r} as the whole of {answer.body!r}"
            assert answer.is_whole or self._connection_end_is_body_end(exchange), (
                "a broken body as a whole one"
            )
            return "whole"
        if verb == "run":
            texts = [answer.generated_text for answer in self.outcome.items]
            assert texts == [self.generation.text], f"{texts} is not the whole text"
            return "whole"
        assert self._received_text() == self.generation.text, (
            f"{self._received_text()!r} is not the whole text"
        )
        if verb == "stream":
            self._check_chunks()
        return "resumed" if self._prompted_text(exchange) else "whole"

    def _check_chunks(self) -> None:
        chunks, count = self.outcome.items, len(self.generation.tokens)
        actual = [(chunk.index, chunk.token.text, chunk.generated_text) for chunk in chunks]
        wholes = [None] * (count - 1) + [self.generation.text]
        expected = list(zip(range(1, count + 1), self.generation.tokens, wholes, strict=True))
        assert actual == expected, f"{actual} should be {expected}"
        first_resumed = min(
            (
                known
                for exchange in self.exchanges
                if (known := self.generation.count_known_tokens(exchange.request))
            ),
            default=count,
        )
        resumed = [chunk.resumed for chunk in chunks]
        assert resumed == [i >= first_resumed for i in range(count)], (
            f"{resumed}, but the first resumed token is {first_resumed}"
        )
        if self.call_plan.details:
            counted = chunks[-1].details.generated_tokens
            assert counted == count, f"{counted} of {count} tokens"

    def _judge_failed(self) -> str:
        error = self.outcome.error
        assert isinstance(error, hfgen.HfgenError), f"raised {error!r}"
        assert isinstance(error, self._expected_errors()), f"raised {error!r}"
        received = self._received_text()
        assert error.text == received, f"the error says {error.text!r}, handed was {received!r}"
        self._check_part()
        name = type(error).__name__
        if not self.exchanges or self._has_all():
            return name
        if isinstance(error, _CALLERS_ERRORS):
            # A caller that aborts may leave received bytes unread.
            has_stalled = self.exchanges[-1].end == "stall" and isinstance(
                error, hfgen.TimeoutError
            )
            return BEHIND if has_stalled else name
        assert self._may_lose_bytes(self.exchanges[-1]), (
            f"handed {self._received_and_sent()} and no more"
        )
        return name

    def _expected_errors(self) -> tuple[type[Exception], ...]:
        """Return the errors that may be raised after the last answer."""
        is_abort = self.call_plan.leaving in {"abort", "late abort"}
        own = _CALLERS_ERRORS if is_abort else (hfgen.TimeoutError,)
        if not self.exchanges:
            return (*own, hfgen.ConnectError)
        exchange = self.exchanges[-1]
        if self._has_fault(exchange):
            return (*own, hfgen.StatusError, *_CUT_UNSEEN)
        if exchange.end == "busy" or self._may_lose_bytes(exchange):
            return (*own, *_BROKEN, hfgen.StatusError)
        if exchange.end in {"whole", "stall"}:
            return own
        return (*own, *(_CUT_UNSEEN if self._connection_end_is_body_end(exchange) else _BROKEN))

    def _check_part(self) -> None:
        """Check that the caller received a beginning of what was sent, up to the resume or more."""
        if not self.exchanges or self.call_plan.verb == "run":
            assert not self.outcome.items, f"handed {self.outcome.items} of nothing"
            return
        received, sent = self._received_and_sent()
        assert sent.startswith(received), f"handed {received!r} of {sent!r}"
        if self.call_plan.verb != "stream_bytes":
            assert self._received_text().startswith(self._prompted_text(self.exchanges[-1])), (
                "asked to skip some"
            )

    def _has_all(self) -> bool:
        """Return whether the caller received all that was sent."""
        received, sent = self._received_and_sent()
        return received == sent

    def _received_and_sent(self) -> tuple[bytes, bytes]:
        """Return what was received and what was sent, as text, or bytes for `stream_bytes`."""
        last = self.exchanges[-1]
        if self.call_plan.verb == "stream_bytes":
            return b"".join(self.outcome.items), last.received.body
        return self._received_text().encode(), self._sent_text(last).encode()

    def _received_text(self) -> str:
        items: list[Any] = self.outcome.items
        texts: list[str] = items if self.call_plan.verb == "stream_tokens" else []
        if self.call_plan.verb == "stream":
            texts = [chunk.token.text for chunk in items if not chunk.token.special]
        return "".join(texts)

    def _prompted_text(self, exchange: Exchange) -> str:
        return self.generation.text_of(self.generation.count_known_tokens(exchange.request))

    def _sent_text(self, exchange: Exchange) -> str:
        """Return the text that the client has once it has read all that was sent."""
        if self.call_plan.verb in {"run", "stream_bytes"}:
            return self._prompted_text(exchange)
        events: list[dict[str, Any]] = exchange.received.events(
            is_end=self._connection_end_is_body_end(exchange)
        )
        tokens = [event["token"] for event in events if "token" in event]
        texts = [token["text"] for token in tokens if not token["special"]]
        return self._prompted_text(exchange) + "".join(texts)

    def _has_fault(self, exchange: Exchange) -> bool:
        return exchange.answer_plan.fault is not None and self.call_plan.verb in {
            "stream",
            "stream_tokens",
        }

    @staticmethod
    def _connection_end_is_body_end(exchange: Exchange) -> bool:
        """Return whether the end of the connection was the end of the body."""
        return exchange.received.framing == "close" and exchange.end in {"whole", "cut"}

    def _may_lose_bytes(self, exchange: Exchange) -> bool:
        # After a reset, the client's system discards bytes that have arrived and were not read,
        # even those of a whole answer. The client then has a beginning of the text, its error has
        # the same text, and it resumes from there.
        answer_plan = exchange.answer_plan
        if self.call_plan.verb == "stream_bytes" and answer_plan.fault == (0.0, "overloaded"):
            # The call is tried again, and none of these bytes reach the caller.
            return True
        return exchange.end == "reset" or (
            exchange.end == answer_plan.end
            and answer_plan.keeps_connection
            and answer_plan.parting == "reset"
        )
