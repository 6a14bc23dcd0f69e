"""Going on with a stream that broke: what to ask for, and how its chunks join. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core.errors import ConnectError, HfgenError, IncompleteGenerationError, StatusError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hfgen._core.answers import Chunk

# In TGI's words the server's own stream broke (its router/src/infer/mod.rs).
_BROKEN = frozenset({"incomplete_generation", "incomplete_generation_stream"})
# With these the text so far does not say where the generation stands.
_INEXACT = ("grammar", "truncate", "watermark")
# With more than one of these neither.
_SEVERAL = ("best_of", "num_return_sequences")


class Resumption:
    """What has come of one generation, over all of its streams.

    Every chunk passes through `take`; when a stream breaks, `request` says how to go on.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self._parameters: dict[str, Any] = request.get("parameters") or {}
        self._texts: list[str] = []
        self._count = 0
        self._has_special = False
        # How much of these had come before the stream that runs now.
        self._seam = 0
        self._seam_count = 0

    @property
    def text(self) -> str:
        """What has been generated so far."""
        return "".join(self._texts)

    def take(self, chunk: Chunk) -> Chunk:
        """Return the chunk as it belongs into the one stream that the caller sees."""
        self._count += 1
        self._has_special |= chunk.token.special
        if not chunk.token.special:
            self._texts.append(chunk.token.text)
        if not self._seam_count:
            return chunk
        changes: dict[str, Any] = {"index": self._count, "resumed": True, "_raw": None}
        if chunk.generated_text is not None:
            changes["generated_text"] = self._whole(chunk.generated_text)
        if chunk.details is not None:
            changes["details"] = self._details(chunk)
        return msgspec.structs.replace(chunk, **changes)

    def broken(self, error: HfgenError) -> tuple[dict[str, Any], HfgenError] | None:
        """Return the request that goes on, and the failure that it comes after; None if none can.

        The error is told the whole text.
        """
        error.text = self.text
        request = self.request(error)
        if request is None:
            return None
        failure = ConnectError(error.message)
        failure.__cause__ = error
        return request, failure

    def given_up(self, error: HfgenError, after: HfgenError) -> None:
        """Raise why the stream could not be picked up; return if the policy did not let it try."""
        if error is not after:
            error.text = self.text
            raise error

    def request(self, error: HfgenError) -> dict[str, Any] | None:
        """Return the request that goes on where the stream broke, None if none can.

        It cannot where the rest would not be exactly what was missing: with a grammar, `best_of`,
        several sequences, `truncate`, after a special token, with a stop string seen or half seen.
        """
        if not self._is_break(error) or not self._is_exact():
            return None
        parameters = dict(self._parameters)
        if (most := parameters.get("max_new_tokens")) is not None:
            if most <= self._count:
                return None
            parameters["max_new_tokens"] = most - self._count
        self._seam, self._seam_count = len(self._texts), self._count
        request = {**self._request, "inputs": self._request["inputs"] + self.text}
        # Absent is not the same as empty: TGI samples where there are no parameters at all.
        return {**request, "parameters": parameters} if "parameters" in request else request

    def _is_break(self, error: HfgenError) -> bool:
        if isinstance(error, StatusError):
            return error.error_type in _BROKEN
        return isinstance(error, IncompleteGenerationError)

    def _is_exact(self) -> bool:
        given = self._parameters
        if self._has_special or any(given.get(name) for name in _INEXACT):
            return False
        if any((given.get(name) or 1) > 1 for name in _SEVERAL):
            return False
        text = self.text
        # Generation ends at a stop string: who has all of it only lacks the word that it ended.
        return not any(
            stop in text or any(text.endswith(stop[:length]) for length in range(1, len(stop)))
            for stop in self._parameters.get("stop") or ()
            if stop
        )

    def _whole(self, generated_text: str) -> str:
        rest = "".join(self._texts[self._seam :])
        if generated_text != rest:
            # The server put the prompt before it, and that has the text so far.
            return generated_text
        return self.text

    def _details(self, chunk: Chunk) -> Any:
        details = chunk.details
        assert details is not None
        changes: dict[str, Any] = {}
        if details.generated_tokens is not None:
            changes["generated_tokens"] = details.generated_tokens + self._seam_count
        if details.input_length is not None:
            changes["input_length"] = details.input_length - self._seam_count
        return msgspec.structs.replace(details, **changes)
