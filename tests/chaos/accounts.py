"""What a caller was handed, held against what was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hfgen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.callers import Outcome
    from chaos.plan import Errand
    from chaos.proxy import Passage
    from chaos.tale import Tale

BEHIND = "behind"
"""The verdict on a client that ran out of time and had not read all that was there."""

_BROKEN = (hfgen.ConnectError, hfgen.IncompleteGenerationError)
# What comes of a body cut in the middle where nothing says that it was cut.
_CUT_UNSEEN = (*_BROKEN, hfgen.MalformedAnswerError)
_OWN_DOING = (hfgen.TimeoutError, hfgen.AbortError)


@dataclass(frozen=True, slots=True)
class Account:
    """One stream.

    Args:
        tale: What was to be told.
        errand: Who asked, and how.
        passages: What was sent, in answer to each request.
        outcome: What the caller was handed.
    """

    tale: Tale
    errand: Errand
    passages: Sequence[Passage]
    outcome: Outcome

    def settle(self) -> str:
        """Return how it ended: "whole", "resumed", "left", `BEHIND`, or the name of its error.

        Raises:
            AssertionError: It must not end like that.
        """
        assert self.outcome.ending is not None, "has no end"
        self._check_requests()
        if self.outcome.ending == "whole":
            return self._settle_whole()
        if self.outcome.ending == "failed":
            return self._settle_failed()
        assert self.errand.leaving != "stays", "was cancelled by nobody"
        self._check_part()
        return "left"

    def _check_requests(self) -> None:
        """Check that each request asked for what was missing after the one before."""
        for before, after in zip(self.passages, self.passages[1:], strict=False):
            had, has = self._text(before), self._base(after)
            if self._may_lose(before):
                assert had.startswith(has), f"asks to go on after {has!r}; sent was {had!r}"
            else:
                assert has == had, f"asks to go on after {has!r}; sent was {had!r}"
            assert has == self._base(before) or self.errand.resume, "went on unasked"
        attempts = len(self.passages)
        fresh = {self._base(passage) for passage in self.passages}
        assert attempts <= len(fresh) * (1 + self.errand.max_retries), f"{attempts} attempts"

    def _settle_whole(self) -> str:
        passage, verb = self.passages[-1], self.errand.verb
        got = passage.got
        if verb == "stream_bytes":
            handed = b"".join(self.outcome.items)
            assert handed == got.body, f"handed {handed!r} as the whole of {got.body!r}"
            assert got.is_whole or self._ended_in_order(passage), "a broken body as a whole one"
            return "whole"
        if verb == "run":
            texts = [answer.generated_text for answer in self.outcome.items]
            assert texts == [self.tale.text], f"{texts} is not the whole text"
            return "whole"
        assert self._handed() == self.tale.text, f"{self._handed()!r} is not the whole text"
        if verb == "stream":
            self._check_chunks()
        return "resumed" if self._base(passage) else "whole"

    def _check_chunks(self) -> None:
        chunks, count = self.outcome.items, len(self.tale.tokens)
        said = [(chunk.index, chunk.token.text, chunk.generated_text) for chunk in chunks]
        wholes = [None] * (count - 1) + [self.tale.text]
        right = list(zip(range(1, count + 1), self.tale.tokens, wholes, strict=True))
        assert said == right, f"{said} should be {right}"
        seam = min(
            (told for passage in self.passages if (told := self.tale.told(passage.request))),
            default=count,
        )
        resumed = [chunk.resumed for chunk in chunks]
        assert resumed == [i >= seam for i in range(count)], f"{resumed}, but the seam is at {seam}"
        if self.errand.details:
            counted = chunks[-1].details.generated_tokens
            assert counted == count, f"{counted} of {count} tokens"

    def _settle_failed(self) -> str:
        error = self.outcome.error
        assert isinstance(error, hfgen.HfgenError), f"raised {error!r}"
        assert isinstance(error, self._fitting_errors()), f"raised {error!r}"
        handed = self._handed()
        assert error.text == handed, f"the error says {error.text!r}, handed was {handed!r}"
        self._check_part()
        name = type(error).__name__
        if not self.passages or self._has_all():
            return name
        if isinstance(error, _OWN_DOING):
            # Whoever leaves may have left some unread.
            has_stalled = self.passages[-1].end == "stall" and isinstance(error, hfgen.TimeoutError)
            return BEHIND if has_stalled else name
        assert self._may_lose(self.passages[-1]), f"handed {self._part()} and no more"
        return name

    def _fitting_errors(self) -> tuple[type[Exception], ...]:
        """Return what may be raised after what was sent last."""
        is_abort = self.errand.leaving in {"abort", "late abort"}
        own = _OWN_DOING if is_abort else (hfgen.TimeoutError,)
        if not self.passages:
            return (*own, hfgen.ConnectError)
        passage = self.passages[-1]
        if self._has_fault(passage):
            return (*own, hfgen.StatusError, *_CUT_UNSEEN)
        if passage.end == "busy" or self._may_lose(passage):
            return (*own, *_BROKEN, hfgen.StatusError)
        if passage.end in {"whole", "stall"}:
            return own
        return (*own, *(_CUT_UNSEEN if self._ended_in_order(passage) else _BROKEN))

    def _check_part(self) -> None:
        """Check that what was handed is the beginning of what was sent, and after every seam."""
        if not self.passages or self.errand.verb == "run":
            assert not self.outcome.items, f"handed {self.outcome.items} of nothing"
            return
        handed, sent = self._part()
        assert sent.startswith(handed), f"handed {handed!r} of {sent!r}"
        if self.errand.verb != "stream_bytes":
            assert self._handed().startswith(self._base(self.passages[-1])), "asked to skip some"

    def _has_all(self) -> bool:
        """Tell whether the caller was handed all that was sent."""
        handed, sent = self._part()
        return handed == sent

    def _part(self) -> tuple[bytes, bytes]:
        """Return what was handed, and what was sent; the text, unless the caller wanted bytes."""
        last = self.passages[-1]
        if self.errand.verb == "stream_bytes":
            return b"".join(self.outcome.items), last.got.body
        return self._handed().encode(), self._text(last).encode()

    def _handed(self) -> str:
        items: list[Any] = self.outcome.items
        texts: list[str] = items if self.errand.verb == "stream_tokens" else []
        if self.errand.verb == "stream":
            texts = [chunk.token.text for chunk in items if not chunk.token.special]
        return "".join(texts)

    def _base(self, passage: Passage) -> str:
        return self.tale.text_of(self.tale.told(passage.request))

    def _text(self, passage: Passage) -> str:
        """Return the text that the client has if it read all that was sent."""
        if self.errand.verb in {"run", "stream_bytes"}:
            return self._base(passage)
        events: list[dict[str, Any]] = passage.got.events(is_end=self._ended_in_order(passage))
        tokens = [event["token"] for event in events if "token" in event]
        texts = [token["text"] for token in tokens if not token["special"]]
        return self._base(passage) + "".join(texts)

    def _has_fault(self, passage: Passage) -> bool:
        return passage.fate.fault is not None and self.errand.verb in {"stream", "stream_tokens"}

    @staticmethod
    def _ended_in_order(passage: Passage) -> bool:
        """Tell whether the end of the connection was the end of the body."""
        return passage.got.framing == "close" and passage.end in {"whole", "cut"}

    def _may_lose(self, passage: Passage) -> bool:
        # A reset makes the client's system throw away what has arrived and was not yet read, also
        # when it follows a whole answer. What can be said then is that the client was handed a
        # beginning, that its error says the same, and that it goes on from there.
        fate = passage.fate
        if self.errand.verb == "stream_bytes" and fate.fault == (0.0, "overloaded"):
            # Tried again, and none of it handed out.
            return True
        return passage.end == "reset" or (
            passage.end == fate.end and fate.lives_on and fate.parting == "reset"
        )
