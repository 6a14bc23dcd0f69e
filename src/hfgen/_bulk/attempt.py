"""One attempt at one row: a single call, without retries of its own, sync and async."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from hfgen._bulk.dispatcher import Outcome
from hfgen._core.answers import Details, GeneratedText
from hfgen._core.body import folded, whole_chunk
from hfgen._core.call import running, streaming
from hfgen._core.errors import HfgenError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from hfgen._async.client import AsyncClient
    from hfgen._bulk.plan import BulkPlan
    from hfgen._core.answers import Chunk
    from hfgen._core.call import Call
    from hfgen._core.conversation import Opened
    from hfgen._io.signal import AbortSignal
    from hfgen._options import Settings
    from hfgen._sync.client import Client

    C = TypeVar("C", Client, AsyncClient)

# With one of these, a row asks for more than the text, its end, and how long it is.
_DETAILS = ("details", "decoder_input_details", "top_n_tokens")


def askers(client: C, plan: BulkPlan, signal: AbortSignal | None) -> dict[str, C]:
    """Return clients for attempts, one a server, on the connections of `client`.

    Args:
        client: The client, with the options of the whole.
        plan: Which servers there are.
        signal: What aborts the attempts; the caller's own aborts the whole.
    """
    return {url: _asker(client, url, signal) for url in plan.urls}


def _asker(client: C, url: str, signal: AbortSignal | None) -> C:
    is_provider = url == client._settings.provider
    one = client.with_options() if is_provider else client.with_options(api_url=url)
    retry = replace(one._settings.retry, max_retries=0, wait_for_model=0.0)
    one._settings = replace(one._settings, retry=retry, signal=signal, resume=False)
    return one


async def ask_async(
    client: AsyncClient, request: Mapping[str, Any], clock: Callable[[], float], *, stream: bool
) -> Outcome:
    """Make the attempt, and return how it went."""
    reading = _Reading(request, clock)
    try:
        if not stream:
            return reading.whole(await client._run(_whole(request, client._settings)))
        async with await client._open(_stream(request, client._settings), None) as chunks:
            async for chunk in chunks:
                reading.take(chunk)
    except HfgenError as error:
        return reading.failed(error)
    return reading.ended()


def ask(
    client: Client, request: Mapping[str, Any], clock: Callable[[], float], *, stream: bool
) -> Outcome:
    """Make the attempt, and return how it went."""
    reading = _Reading(request, clock)
    try:
        if not stream:
            return reading.whole(client._run(_whole(request, client._settings)))
        with client._open(_stream(request, client._settings), None) as chunks:
            for chunk in chunks:
                reading.take(chunk)
    except HfgenError as error:
        return reading.failed(error)
    return reading.ended()


class _Reading:
    """What is kept of an answer while it is read."""

    def __init__(self, request: Mapping[str, Any], clock: Callable[[], float]) -> None:
        parameters = request.get("parameters") or {}
        self._is_detailed = any(parameters.get(name) for name in _DETAILS)
        self._clock = clock
        self._started = clock()
        self._first: float | None = None
        self._chunks: list[Chunk] = []

    def take(self, chunk: Chunk) -> None:
        """Take in a chunk of a stream."""
        if self._first is None:
            self._first = self._clock() - self._started
        # The last one of each text has all of it.
        if self._is_detailed or chunk.generated_text is not None:
            self._chunks.append(chunk)

    def ended(self) -> Outcome:
        """Return how it went, at the end of a stream."""
        return self.whole(folded(self._chunks))

    def whole(self, answers: list[GeneratedText]) -> Outcome:
        """Return how it went, with these answers."""
        if not self._is_detailed:
            answers = [_bare(answer) for answer in answers]
        return Outcome(answers, None, self._first)

    def failed(self, error: HfgenError) -> Outcome:
        """Return how it went, with an error."""
        return Outcome([], error, self._first)


def _whole(request: Mapping[str, Any], settings: Settings) -> Call[list[GeneratedText]]:
    return replace(running(request, settings), counted=True)


def _stream(request: Mapping[str, Any], settings: Settings) -> Call[Opened[Chunk]]:
    return replace(streaming(request, settings, whole_chunk)[0], counted=True)


def _bare(answer: GeneratedText) -> GeneratedText:
    """Return the answer without its tokens, which nobody has asked for, and the server's words."""
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
