"""The dialect of OpenAI-compatible completions, `/v1/completions`. No I/O."""

from __future__ import annotations

from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from hfgen._core import server_errors
from hfgen._core.answers import Chunk, Details, GeneratedText, StreamDetails, Token
from hfgen._core.dialects.base import (
    check_sequence_count,
    find_error,
    malformed_error,
    read_non_chunk,
)
from hfgen._core.dialects.completions.request import make_body
from hfgen._core.dialects.completions.response import (
    Choice,
    Completion,
    RequestedOutput,
    TokenReport,
    Usage,
    decode_completion,
    has_no_text,
    mark_end_token,
    mark_special,
    read_piece_tokens,
    read_token_reports,
    translate_finish_reason,
)
from hfgen._core.dialects.finish_reasons import unfinished_text_error
from hfgen._core.dialects.server_kind import UNKNOWN, Server
from hfgen._core.errors import (
    IncompleteGenerationError,
    MalformedAnswerError,
    MalformedStreamError,
)
from hfgen._core.headers import NO_HEADERS, Headers
from hfgen._core.request import encode_json
from hfgen._core.server_json import DECODE_ERRORS, RepairingDecoder, TextPiece, decode_or_repair

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hfgen._core.errors import HfgenError
    from hfgen._core.sse import Event


class Completions:
    """The dialect: a request becomes `{prompt, max_tokens, stream, …}`, an answer has choices.

    Args:
        request: The normalised request.
        server: What is known of the server. Servers differ in the parameters that they take.
    """

    def __init__(
        self, request: Mapping[str, Any] = MappingProxyType({}), server: Server = UNKNOWN
    ) -> None:
        self._request = request
        self._server = server

    def encode_body(self, *, stream: bool) -> bytes:
        return encode_json(make_body(self._request, self._server, stream=stream))

    def read_answers(self, body: bytes, headers: Headers = NO_HEADERS) -> list[GeneratedText]:
        try:
            completion = decode_or_repair(decode_completion, body)
        except DECODE_ERRORS as error:
            completion, problem = Completion(), str(error)
        else:
            problem = "it has no choices"
        choices = completion.choices or []
        for choice in choices:
            if (failure := _find_failure(choice, body, headers)) is not None:
                raise failure
        if completion.error or not choices or any(c.text is UNSET for c in choices):
            if report := find_error(body):
                raise server_errors.make_status_error(report, headers=headers, body=body)
            problem = "a choice has no text" if choices else problem
            raise malformed_error(body, f"the answer is no completion ({problem})")
        usage = completion.usage or Usage()
        choices.sort(key=lambda choice: choice.index or 0)
        output = RequestedOutput.of(self._request, self._server.kind)
        check_sequence_count(len(choices), output.sequence_count, MalformedAnswerError)
        return [_make_generated_text(choice, usage, output, len(choices)) for choice in choices]

    def make_event_reader(
        self, headers: Headers = NO_HEADERS, *, only_text: bool = False
    ) -> CompletionsEvents:
        # The text alone does not show where a sequence ends, so everything is read regardless.
        del only_text
        return CompletionsEvents(RequestedOutput.of(self._request, self._server.kind), headers)


class CompletionsEvents:
    """The reader of the events of one stream.

    The last chunk of each sequence is held back until its details are known: until the usage
    comes, or `[DONE]`, or the end of the stream.
    """

    __slots__ = (
        "_decoder",
        "_has_text",
        "_headers",
        "_is_done",
        "_output",
        "_sequences",
        "_textless",
        "_usage",
        "is_complete",
    )

    def __init__(self, output: RequestedOutput, headers: Headers = NO_HEADERS) -> None:
        self._output = output
        self._headers = headers
        self._sequences: dict[int, SequenceReader] = {}
        self._usage = Usage()
        # Whether a choice has had the field `text`, and the first event in which one lacked it.
        self._has_text = False
        self._textless: bytes | None = None
        self._decoder = RepairingDecoder(decode_completion, decode_completion, _find_texts)
        self._is_done = False
        self.is_complete = False

    def read(self, events: Iterable[Event]) -> Iterator[Chunk]:
        return chain.from_iterable(map(self._read, events))

    def _read(self, event: Event) -> Iterable[Chunk]:  # noqa: C901 - in order
        if self._is_done:
            return ()
        try:
            completion = self._decoder.decode_fast(event.data)
        except DECODE_ERRORS:
            try:
                completion = self._decoder.decode(event.data)
            except DECODE_ERRORS as error:
                return self._read_other(event, str(error))
        usage = completion.usage
        if completion.error or (completion.choices is None and usage is None):
            return self._read_other(event, "it has no choices")
        chunks: list[Chunk] = []
        choices = completion.choices or []
        has_end = False
        for choice in choices:
            sequence = self._get_sequence(choice.index or 0)
            if choice.text is UNSET:
                self._note_missing_text(choice, event)
            else:
                self._has_text = True
            if choice.finish_reason or choice.error:
                failure = _find_failure(choice, event.data, self._headers)
                if failure is not None:
                    # The text of the piece counts, but it does not complete the sequence.
                    choice.finish_reason = None
                    chunks += [*sequence.take(choice), *sequence.release()]
                    return _raise_after(chunks, failure)
                has_end = True
            chunks += sequence.take(choice)
        if has_end:
            self._check_texts()
            ended = sum(sequence.has_ended for sequence in self._sequences.values())
            self.is_complete = ended == len(self._sequences) >= self._output.sequence_count
        if usage is not None:
            chunks += self._take_usage(usage, choices)
        return chunks

    def take_rest(self) -> Sequence[Chunk]:
        return [
            chunk
            for number in sorted(self._sequences)
            for chunk in self._sequences[number].finish(
                self._usage, covers_one=self._has_one_sequence
            )
        ]

    @property
    def details(self) -> StreamDetails | None:
        """The details of the first sequence, once they have come."""
        return self._sequences[0].details if 0 in self._sequences else None

    @property
    def _has_one_sequence(self) -> bool:
        return len(self._sequences) == 1 == self._output.sequence_count

    def _take_usage(self, usage: Usage, choices: list[Choice]) -> Sequence[Chunk]:
        """Remember the usage; return the chunks that were held back until it came."""
        self._usage = usage
        chunks: list[Chunk] = []
        # These two servers report the usage of each sequence in the event that ends it.
        if len(choices) == 1 and self._output.kind in {"tgi", "llama.cpp"}:
            sequence = self._get_sequence(choices[0].index or 0)
            chunks += sequence.finish(usage, covers_one=True) if sequence.has_ended else ()
        if self.is_complete:
            chunks += self.take_rest()
        return chunks

    def _get_sequence(self, number: int) -> SequenceReader:
        if number not in self._sequences:
            # An index that stands for anything else would take one text apart.
            if len(self._sequences) >= self._output.sequence_count:
                raise MalformedStreamError(
                    "the stream has more sequences than were asked for "
                    f"({self._output.sequence_count}): a choice has index {number}"
                )
            self._sequences[number] = SequenceReader(number, self._output)
        return self._sequences[number]

    def _note_missing_text(self, choice: Choice, event: Event) -> None:
        # LiteLLM's proxy leaves an empty text out of the last piece of a sequence.
        if self._textless is None and (choice.is_chat or not choice.finish_reason):
            self._textless = event.data

    def _check_texts(self) -> None:
        """Raise an error if the stream has choices but no text, so that its end says nothing."""
        if self._textless is not None and not self._has_text:
            problem = "the stream is no completion (its choices have no text)"
            raise malformed_error(self._textless, problem, MalformedStreamError)

    def _read_other(self, event: Event, problem: str) -> Iterable[Chunk]:
        problem = f"no completion ({problem})"
        if not read_non_chunk(event, self._headers, problem, is_complete=self.is_complete):
            return ()
        self._check_texts()
        self._is_done = True
        self._sequences = self._sequences or {0: SequenceReader(0, self._output)}
        return self._end()

    def _end(self) -> Iterator[Chunk]:
        yield from self.take_rest()
        requested = self._output.sequence_count
        check_sequence_count(len(self._sequences), requested, IncompleteGenerationError)
        self.is_complete = True


def _find_failure(choice: Choice, body: bytes, headers: Headers) -> HfgenError | None:
    """Return the error to raise if a choice says that its text is not whole."""
    text = choice.text if isinstance(choice.text, str) else ""
    return unfinished_text_error(
        choice.finish_reason, choice.error, text=text, headers=headers, body=body
    )


def _raise_after(chunks: list[Chunk], error: HfgenError) -> Iterator[Chunk]:
    yield from chunks
    raise error


def _find_texts(document: Any) -> Iterator[TextPiece]:
    """Yield the places of the texts of the choices."""
    choices = document.get("choices") if isinstance(document, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            number = choice.get("index")
            yield TextPiece(
                choice,
                number=number if isinstance(number, int) else 0,
                is_last=bool(choice.get("finish_reason")),
            )


def _make_generated_text(
    choice: Choice, usage: Usage, output: RequestedOutput, count: int
) -> GeneratedText:
    generated = choice.text if isinstance(choice.text, str) else ""
    finish_reason = translate_finish_reason(choice, generated, output)
    reports = read_token_reports(choice.logprobs, choice.token_ids, output.top_count)
    reports = mark_end_token(reports, generated, finish_reason) or reports
    tokens = [report.token for report in reports]
    return GeneratedText(
        generated_text=output.add_prompt(generated),
        details=Details(
            finish_reason=finish_reason,
            native_finish_reason=(choice.finish_reason or None)
            if choice.finish_reason != finish_reason
            else None,
            generated_tokens=usage.completion_tokens if count == 1 else len(tokens) or None,
            input_length=usage.prompt_tokens,
            tokens=tokens,
            top_tokens=[r.top or [] for r in reports] if output.top_count and tokens else None,
        ),
    )


class SequenceReader:
    """The reader of one sequence of a stream; its last chunk carries the whole text.

    Args:
        number: The number of the sequence, from 0.
        output: What the request asks for.
    """

    __slots__ = (
        "_count",
        "_finish_reason",
        "_held",
        "_is_finished",
        "_native_reason",
        "_number",
        "_output",
        "_texts",
        "_token_count",
        "details",
        "has_ended",
    )

    def __init__(self, number: int, output: RequestedOutput) -> None:
        self._number = number
        self._output = output
        self._texts: list[str] = []
        self._count = 0
        # The number of tokens so far; None if some pieces came without a list of their tokens.
        self._token_count: int | None = 0
        # The chunk that may turn out to be the last one.
        self._held: Chunk | None = None
        self._finish_reason: str | None = None
        self._native_reason: str | None = None
        # Whether the last chunk has been returned.
        self._is_finished = False
        self.details: StreamDetails | None = None
        self.has_ended = False

    def take(self, choice: Choice) -> list[Chunk]:
        """Return the chunks that this piece of the sequence completes."""
        text = choice.text if isinstance(choice.text, str) else ""
        native_reason = choice.finish_reason or None
        if self.has_ended and (self._is_finished or not text):
            # Some servers report the end twice, the second time with the usage.
            return []
        finish_reason = None
        if native_reason is not None:
            whole = "".join([*self._texts, text])
            finish_reason = translate_finish_reason(choice, whole, self._output)
            self._finish_reason, self._native_reason = finish_reason, native_reason
            self.has_ended = True
        reports = read_piece_tokens(choice, text, finish_reason, self._output)
        if self._token_count is not None:
            # The end-of-sequence token counts, also where the server does not list it.
            extra = not reports and finish_reason == "eos_token"
            unlisted = text and not reports
            self._token_count = None if unlisted else self._token_count + len(reports) + extra
        if not reports and (text or (native_reason is not None and self._held is None)):
            reports = [TokenReport(Token(text=text))]
        chunks = [self._make_chunk(report) for report in reports]
        if self._held is not None:
            chunks.insert(0, self._held)
            self._held = None
        # llama.cpp and transformers report the finish reason "length" in an event of its own, TGI
        # with the last token. So hold a token back that reaches the maximum. A token without text
        # may be the end-of-sequence token, so hold it back too; the caller misses no text.
        if chunks and (
            self.has_ended
            or self._count == self._output.max_tokens
            or has_no_text(chunks[-1].token)
        ):
            self._held = chunks.pop()
        return chunks

    def release(self) -> list[Chunk]:
        """Return the chunk that was held back, as one in the middle of the sequence."""
        chunks = [] if self._held is None else [self._held]
        self._held = None
        return chunks

    def finish(self, usage: Usage, *, covers_one: bool) -> list[Chunk]:
        """Return the last chunk, or nothing if it has been returned before.

        Args:
            usage: The numbers of tokens that the server reported.
            covers_one: Whether these are the numbers of this sequence alone.
        """
        if self._is_finished:
            return []
        self._is_finished = True
        # Where the server gave no finish reason, all chunks have been returned: add an empty one.
        last = self._held or self._make_chunk(TokenReport(Token(text="")))
        if self._finish_reason == "eos_token" and has_no_text(last.token):
            last = msgspec.structs.replace(last, token=mark_special(last.token))
        self._held = None
        count = usage.completion_tokens if covers_one else None
        is_same = self._native_reason == self._finish_reason
        self.details = StreamDetails(
            finish_reason=self._finish_reason,
            native_finish_reason=None if is_same else self._native_reason,
            generated_tokens=(self._token_count or None) if count is None else count,
            input_length=usage.prompt_tokens,
        )
        text = self._output.add_prompt("".join(self._texts))
        return [msgspec.structs.replace(last, generated_text=text, details=self.details)]

    def _make_chunk(self, report: TokenReport) -> Chunk:
        self._count += 1
        if not report.token.special:
            self._texts.append(report.token.text)
        return Chunk(
            index=self._count, token=report.token, top_tokens=report.top, sequence=self._number
        )
