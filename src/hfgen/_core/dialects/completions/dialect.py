"""The dialect of OpenAI-compatible completions, `/v1/completions`. No I/O."""

from __future__ import annotations

from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core import server_errors
from hfgen._core.answers import Chunk, Details, GeneratedText, StreamDetails, Token
from hfgen._core.dialects.base import UNREADABLE, find_error, malformed_error, read_non_chunk
from hfgen._core.dialects.completions.request import make_body
from hfgen._core.dialects.completions.response import (
    Choice,
    Completion,
    RequestedOutput,
    TokenReport,
    Usage,
    as_special,
    decode_completion,
    finish_reason,
    is_silent,
    mark_end_token,
    report_tokens,
    tokens,
)
from hfgen._core.dialects.server_kind import UNKNOWN, Server
from hfgen._core.headers import NO_HEADERS, Headers
from hfgen._core.request import encode_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hfgen._core.dialects.completions.response import Choice
    from hfgen._core.sse import Event


class Completions:
    """`{prompt, max_tokens, stream, …}` in; choices out.

    Args:
        request: The normalised request.
        server: What is known of the server, which decides what it can be asked for.
    """

    def __init__(
        self, request: Mapping[str, Any] = MappingProxyType({}), server: Server = UNKNOWN
    ) -> None:
        self._request = request
        self._server = server

    def body(self, *, stream: bool) -> bytes:
        return encode_json(make_body(self._request, self._server, stream=stream))

    def answers(self, body: bytes, headers: Headers = NO_HEADERS) -> list[GeneratedText]:
        try:
            said = decode_completion(body)
        except UNREADABLE as error:
            said, why = Completion(), str(error)
        else:
            why = "it has no choices"
        choices = said.choices or []
        if said.error or not choices or any(c.text is msgspec.UNSET for c in choices):
            if fault := find_error(body):
                raise server_errors.error_from(fault, headers=headers, body=body)
            why = "a choice has no text" if choices else why
            raise malformed_error(body, f"the answer is no completion ({why})")
        usage = said.usage or Usage()
        choices.sort(key=lambda choice: choice.index or 0)
        return [_generated_text(choice, usage, self._asked(), len(choices)) for choice in choices]

    def events(
        self, headers: Headers = NO_HEADERS, *, only_text: bool = False
    ) -> CompletionsEvents:
        # What ends a sequence takes more than its text.
        del only_text
        return CompletionsEvents(self._asked(), headers)

    def _asked(self) -> RequestedOutput:
        parameters = self._request.get("parameters") or {}
        return RequestedOutput(
            prompt=self._request.get("inputs", ""),
            returns_prompt=bool(parameters.get("return_full_text")),
            stop=tuple(parameters.get("stop") or ()),
            top=parameters.get("top_n_tokens") or 0,
            count=parameters.get("num_return_sequences") or 1,
            most=parameters.get("max_new_tokens"),
            kind=self._server.kind,
        )


class CompletionsEvents:
    """The events of one stream.

    What ends a sequence is held back until the usage has come, or `[DONE]`, or the end.
    """

    __slots__ = ("_asked", "_headers", "_is_done", "_sequences", "_usage", "complete")

    def __init__(self, asked: RequestedOutput, headers: Headers = NO_HEADERS) -> None:
        self._asked = asked
        self._headers = headers
        self._sequences: dict[int, SequenceReader] = {}
        self._usage = Usage()
        self._is_done = False
        self.complete = False

    def read(self, events: Iterable[Event]) -> Iterator[Chunk]:
        return chain.from_iterable(map(self._read, events))

    def _read(self, event: Event) -> Sequence[Chunk]:
        if self._is_done:
            return ()
        try:
            said = decode_completion(event.data)
        except UNREADABLE as error:
            return self._read_other(event, str(error))
        usage = said.usage
        if said.error or (said.choices is None and usage is None):
            return self._read_other(event, "it has no choices")
        chunks: list[Chunk] = []
        choices = said.choices or []
        for choice in choices:
            chunks += self._sequence(choice.index or 0).take(choice)
        if any(choice.finish_reason for choice in choices):
            ended = sum(sequence.has_ended for sequence in self._sequences.values())
            self.complete = ended == len(self._sequences) >= self._asked.count
        if usage is not None:
            chunks += self._with_usage(usage, choices)
        return chunks

    def rest(self) -> Sequence[Chunk]:
        return [
            chunk
            for number in sorted(self._sequences)
            for chunk in self._sequences[number].finish(self._usage, is_its_own=self._is_only)
        ]

    @property
    def _is_only(self) -> bool:
        return len(self._sequences) == 1 == self._asked.count

    def _with_usage(self, usage: Usage, choices: list[Choice]) -> Sequence[Chunk]:
        """Return the chunks that have waited for the usage."""
        self._usage = usage
        chunks: list[Chunk] = []
        # Of several sequences these two tell the usage of each, along with its end.
        if len(choices) == 1 and self._asked.kind in {"tgi", "llama.cpp"}:
            sequence = self._sequence(choices[0].index or 0)
            chunks += sequence.finish(usage, is_its_own=True) if sequence.has_ended else ()
        if self.complete:
            chunks += self.rest()
        return chunks

    def _sequence(self, number: int) -> SequenceReader:
        if number not in self._sequences:
            self._sequences[number] = SequenceReader(number, self._asked)
        return self._sequences[number]

    def _read_other(self, event: Event, why: str) -> Sequence[Chunk]:
        if not read_non_chunk(event, self._headers, f"no completion ({why})"):
            return ()
        self._is_done = self.complete = True
        self._sequences = self._sequences or {0: SequenceReader(0, self._asked)}
        return self.rest()


def _generated_text(
    choice: Choice, usage: Usage, asked: RequestedOutput, count: int
) -> GeneratedText:
    generated = choice.text if isinstance(choice.text, str) else ""
    why = finish_reason(choice, generated, asked)
    said = report_tokens(choice.logprobs, choice.token_ids, asked.top)
    said = mark_end_token(said, generated, why) or said
    tokens = [token.token for token in said]
    return GeneratedText(
        generated_text=asked.whole(generated),
        details=Details(
            finish_reason=why,
            native_finish_reason=(choice.finish_reason or None)
            if choice.finish_reason != why
            else None,
            generated_tokens=usage.completion_tokens if count == 1 else len(tokens) or None,
            input_length=usage.prompt_tokens,
            tokens=tokens,
            top_tokens=[token.top or [] for token in said] if asked.top and tokens else None,
        ),
    )


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
