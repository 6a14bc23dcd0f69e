"""One attempt at a row: a single call. The dispatcher decides about retries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

from msgspec.structs import replace

from hfgen._bulk.dispatcher import Outcome
from hfgen._core.answers import Details, GeneratedText
from hfgen._core.body import answers_from_chunks
from hfgen._core.call import Call
from hfgen._core.verbs import Chunks, Run
from hfgen._options import override_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from hfgen._bulk.plan import BulkPlan
    from hfgen._core.answers import Chunk
    from hfgen._core.conversation import Opened
    from hfgen._core.errors import HfgenError
    from hfgen._core.settings import Settings
    from hfgen._io.signal import AbortSignal

    S = TypeVar("S", bound="_Session")

# With one of these parameters, the results keep the tokens of the answers.
_DETAILS = ("details", "decoder_input_details", "top_n_tokens")


class _Session(Protocol):
    settings: Settings

    def with_settings(self, settings: Settings) -> Self: ...


def sessions_by_server(session: S, plan: BulkPlan, signal: AbortSignal | None) -> dict[str, S]:
    """Return a session for each server, on the connections of `session`.

    Args:
        session: The session, with the options of the whole run.
        plan: The plan, which names the servers.
        signal: The signal that aborts the attempts. The caller's own signal aborts the run.
    """
    settings = session.settings
    # The dispatcher retries, because it knows all attempts.
    retry = replace(settings.retry, max_retries=0, wait_for_model=0.0)
    settings = replace(settings, retry=retry, signal=signal, resume=False)
    return {
        url: session.with_settings(
            settings if url == settings.provider else override_settings(settings, {"api_url": url})
        )
        for url in plan.urls
    }


def run_call(request: Mapping[str, Any], settings: Settings) -> Call[list[GeneratedText]]:
    """Return the call of an attempt that reads the answer whole."""
    return Call(request, Run(request, settings), is_counted=True)


def stream_call(request: Mapping[str, Any], settings: Settings) -> Call[Opened[Chunk]]:
    """Return the call of an attempt that reads the answer as a stream."""
    return Call(request, Chunks(request, settings), is_counted=True)


class AnswerCollector:
    """Collects an answer while it is read, and makes the outcome of the attempt."""

    def __init__(self, request: Mapping[str, Any], clock: Callable[[], float]) -> None:
        parameters = request.get("parameters") or {}
        self._is_detailed = any(parameters.get(name) for name in _DETAILS)
        self._clock = clock
        self._started = clock()
        self._first: float | None = None
        self._chunks: list[Chunk] = []

    def take(self, chunk: Chunk) -> None:
        """Add a chunk of a stream."""
        if self._first is None:
            self._first = self._clock() - self._started
        # Without details, the last chunk of each text is enough: it has the whole text.
        if self._is_detailed or chunk.generated_text is not None:
            self._chunks.append(chunk)

    def outcome(self) -> Outcome:
        """Return the outcome at the end of a stream."""
        return self.outcome_of(answers_from_chunks(self._chunks))

    def outcome_of(self, answers: list[GeneratedText]) -> Outcome:
        """Return the outcome of an attempt with these answers."""
        if not self._is_detailed:
            answers = [_without_tokens(answer) for answer in answers]
        return Outcome(answers, None, self._first)

    def error_outcome(self, error: HfgenError) -> Outcome:
        """Return the outcome of an attempt that failed."""
        return Outcome([], error, self._first)


def _without_tokens(answer: GeneratedText) -> GeneratedText:
    """Return the answer without its tokens and its JSON, for which the row did not ask."""
    details = answer.details
    if details is not None:
        details = Details(
            finish_reason=details.finish_reason,
            native_finish_reason=details.native_finish_reason,
            generated_tokens=details.generated_tokens,
            input_length=details.input_length,
            seed=details.seed,
        )
    return GeneratedText(generated_text=answer.generated_text, details=details)
