"""One sequence of a stream of completions: its pieces to chunks as TGI sends them. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core.answers import Chunk, StreamDetails, Token
from hfgen._core.dialects.completions.logprobs import TokenReport, as_special, is_silent
from hfgen._core.dialects.completions.response import finish_reason, tokens

if TYPE_CHECKING:
    from hfgen._core.dialects.completions.logprobs import Usage
    from hfgen._core.dialects.completions.response import Choice, RequestedOutput


class SequenceReader:
    """One sequence, of which the last chunk carries the whole text.

    Args:
        number: Its number among those of the stream.
        asked: What was asked for.
    """

    __slots__ = (
        "_asked",
        "_count",
        "_held",
        "_is_given",
        "_native",
        "_number",
        "_texts",
        "_tokens",
        "_why",
        "has_ended",
    )

    def __init__(self, number: int, asked: RequestedOutput) -> None:
        self._number = number
        self._asked = asked
        self._texts: list[str] = []
        self._count = 0
        # How many tokens these are, None if some of them are just pieces of text.
        self._tokens: int | None = 0
        self._held: Chunk | None = None
        self._why: str | None = None
        self._native: str | None = None
        # Whether the last chunk has been handed out.
        self._is_given = False
        self.has_ended = False

    def take(self, choice: Choice) -> list[Chunk]:
        """Return the chunks that this piece completes."""
        text = choice.text if isinstance(choice.text, str) else ""
        native = choice.finish_reason or None
        if self.has_ended and (self._is_given or not text):
            # Some say the end twice, the second time with the usage.
            return []
        why = None
        if native is not None:
            why = finish_reason(choice, "".join([*self._texts, text]), self._asked)
            self._why, self._native, self.has_ended = why, native, True
        said = tokens(choice, text, why, self._asked)
        if self._tokens is not None:
            # The end of the text is a token too, though it has none.
            is_end = not said and why == "eos_token"
            self._tokens = None if text and not said else self._tokens + len(said) + is_end
        if not said and (text or (native is not None and self._held is None)):
            said = [TokenReport(Token(text=text))]
        chunks = [self._chunk(token) for token in said]
        if self._held is not None:
            chunks.insert(0, self._held)
            self._held = None
        # llama.cpp and transformers say that it was cut in an event of its own; in TGI's stream it
        # is said with the last token, which is this one if as many have come as may.
        # One without text may be the end of the text, and nobody misses it meanwhile.
        if chunks and (
            self.has_ended or self._count == self._asked.most or is_silent(chunks[-1].token)
        ):
            self._held = chunks.pop()
        return chunks

    def finish(self, usage: Usage, *, is_its_own: bool) -> list[Chunk]:
        """Return the last chunk, if it has not been handed out.

        Args:
            usage: What the server said of the number of tokens.
            is_its_own: Whether all of that is this sequence.
        """
        if self._is_given:
            return []
        self._is_given = True
        # All that it has said is gone already where the server gave no reason for the end.
        last = self._held or self._chunk(TokenReport(Token(text="")))
        if self._why == "eos_token" and is_silent(last.token):
            last = msgspec.structs.replace(last, token=as_special(last.token))
        self._held = None
        counted = usage.completion_tokens if is_its_own else None
        details = StreamDetails(
            finish_reason=self._why,
            native_finish_reason=self._native if self._native != self._why else None,
            generated_tokens=(self._tokens or None) if counted is None else counted,
            input_length=usage.prompt_tokens,
        )
        changes: dict[str, Any] = {
            "generated_text": self._asked.whole("".join(self._texts)),
            "details": details,
        }
        return [msgspec.structs.replace(last, **changes)]

    def _chunk(self, said: TokenReport) -> Chunk:
        self._count += 1
        if not said.token.special:
            self._texts.append(said.token.text)
        return Chunk(
            index=self._count, token=said.token, top_tokens=said.top, sequence=self._number
        )
