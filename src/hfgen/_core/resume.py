"""`Resumption`: how a stream continues after it broke (`resume=True`). No I/O.

1. Every chunk of the stream passes through `take_chunk`, which records it. `EventBody` holds the
   tokens of a character back until it is whole, so what is recorded is what the text has.
2. The stream breaks. `prepare_rest` returns a request for the rest, whose prompt ends with the text
   so far; or None, if the rest would not be exactly what is missing.
3. `Call.resume` sends that request, after a wait as `Retry` says.
4. The chunks of the new stream pass through `take_chunk` too. It changes their index, text and
   details, so that the caller sees one stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core.errors import ConnectError, HfgenError, IncompleteGenerationError, StatusError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hfgen._core.answers import Chunk, StreamDetails

# With these types of errors TGI reports that its own stream broke (its router/src/infer/mod.rs).
_BREAK_TYPES = frozenset({"incomplete_generation", "incomplete_generation_stream"})
# With these parameters, prompt and text so far do not determine how the generation goes on.
_INEXACT = ("grammar", "truncate", "watermark")
# Nor with a value above 1 of these.
_COUNTS = ("best_of", "n", "num_return_sequences")


class Resumption:
    """The text and tokens of one generation so far, over all of its streams.

    Args:
        request: The normalised request of the first stream.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self._parameters: dict[str, Any] = request.get("parameters") or {}
        self._texts: list[str] = []
        self._count = 0
        self._has_special = False
        # How many texts and how many tokens came before the stream that runs now.
        self._earlier_texts = 0
        self._earlier_count = 0

    @property
    def text(self) -> str:
        """What has been generated so far."""
        return "".join(self._texts)

    def take_chunk(self, chunk: Chunk) -> Chunk:
        """Record a chunk; return it with index, text and details of the whole generation."""
        self._count += 1
        self._has_special |= chunk.token.special
        if not chunk.token.special:
            self._texts.append(chunk.token.text)
        if not self._earlier_count:
            return chunk
        changes: dict[str, Any] = {"index": self._count, "resumed": True, "_raw": None}
        if chunk.generated_text is not None:
            changes["generated_text"] = self._join_text(chunk.generated_text)
        if chunk.details is not None:
            changes["details"] = self.join_details(chunk.details)
        return msgspec.structs.replace(chunk, **changes)

    def prepare_rest(self, error: HfgenError) -> tuple[dict[str, Any], HfgenError] | None:
        """Return a request for the rest, and the failure that `Retry` judges; None if none can be.

        Sets `error.text` to the whole text so far.
        """
        error.text = self.text
        request = self.make_request(error)
        if request is None:
            return None
        # A new error without text: with text, `Retry` would never try again.
        failure = ConnectError(error.message)
        failure.__cause__ = error
        return request, failure

    def make_request(self, error: HfgenError) -> dict[str, Any] | None:
        """Return a request for what was missing when the stream broke, None if none can be made.

        There is none where the rest might differ from what is missing: with a grammar, `best_of`,
        several sequences, `truncate` or `watermark`; after a special token; and if the text
        contains a stop string, or ends with the start of one.
        """
        if not _is_break(error) or not self._is_exact():
            return None
        parameters = dict(self._parameters)
        if (max_tokens := parameters.get("max_new_tokens")) is not None:
            if max_tokens <= self._count:
                return None
            parameters["max_new_tokens"] = max_tokens - self._count
        self._earlier_texts, self._earlier_count = len(self._texts), self._count
        inputs = self._request["inputs"] + self.text
        return {**self._request, "inputs": inputs, "parameters": parameters}

    def _is_exact(self) -> bool:
        parameters = self._parameters
        if self._has_special or any(parameters.get(name) for name in _INEXACT):
            return False
        if any((parameters.get(name) or 1) > 1 for name in _COUNTS):
            return False
        text = self.text
        # Generation ends at a stop string. If the text has one, only the last event is missing.
        return not any(
            stop in text or any(text.endswith(stop[:length]) for length in range(1, len(stop)))
            for stop in parameters.get("stop") or ()
            if stop
        )

    def _join_text(self, generated_text: str) -> str:
        rest = "".join(self._texts[self._earlier_texts :])
        if generated_text != rest:
            # The server put the prompt before the text, and this prompt ends with the text so far.
            return generated_text
        return self.text

    def join_details(self, details: StreamDetails) -> StreamDetails:
        """Return the details of the whole generation; `details` are those of the last stream."""
        changes: dict[str, Any] = {}
        if details.generated_tokens is not None:
            changes["generated_tokens"] = details.generated_tokens + self._earlier_count
        if details.input_length is not None:
            changes["input_length"] = details.input_length - self._earlier_count
        return msgspec.structs.replace(details, **changes)


def _is_break(error: HfgenError) -> bool:
    if isinstance(error, StatusError):
        return error.error_type in _BREAK_TYPES
    return isinstance(error, IncompleteGenerationError)
