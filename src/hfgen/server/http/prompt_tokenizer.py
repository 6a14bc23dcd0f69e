"""Tokenizes prompts without holding up the event loop, on which all streams are written."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

import msgspec

from hfgen.server.http.answers import SimpleToken, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenizers import Encoding, Tokenizer

# A prompt of up to this many characters is tokenized on the event loop, in about a millisecond.
_MAX_INLINE_CHARACTERS = 4_000

# How many long prompts are tokenized at the same time; the default of TGI's `--validation-workers`.
# A prompt of the largest size takes about 200 MB meanwhile.
VALIDATION_WORKERS = 2

_Result = TypeVar("_Result")


class PromptTokenizer:
    """Tokenizes short prompts at once, and long ones on threads of its own.

    Args:
        tokenizer: The tokenizer of the model.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._executor = ThreadPoolExecutor(VALIDATION_WORKERS, "hfgen-tokenizer")

    async def encode(self, text: str) -> list[int]:
        """Return the token ids, with the special tokens that the model expects around a prompt."""
        if len(text) <= _MAX_INLINE_CHARACTERS:
            return self._tokenizer.encode(text).ids
        return await self._run(self._encode_long, text)

    async def tokenize(self, text: str) -> msgspec.Raw:
        """Return the answer of `/tokenize`, as JSON."""
        if len(text) <= _MAX_INLINE_CHARACTERS:
            return _make_answer(self._tokenizer.encode(text), text)
        return await self._run(self._tokenize_long, text)

    def close(self) -> None:
        """End the threads, once they have finished the prompts that they have begun."""
        self._executor.shutdown(cancel_futures=True)

    async def _run(self, function: Callable[[str], _Result], text: str) -> _Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, function, text)

    # The tokenizer's methods for batches release the GIL while they work; `encode` holds it.

    def _encode_long(self, text: str) -> list[int]:
        (encoding,) = self._tokenizer.encode_batch_fast([text])  # without offsets
        return encoding.ids

    def _tokenize_long(self, text: str) -> msgspec.Raw:
        (encoding,) = self._tokenizer.encode_batch([text])
        return _make_answer(encoding, text)


def _make_answer(encoding: Encoding, text: str) -> msgspec.Raw:
    return msgspec.Raw(to_json(_make_simple_tokens(encoding, text)))


def _make_simple_tokens(encoding: Encoding, text: str) -> list[SimpleToken]:
    # The tokenizer's offsets count characters in Python. In Rust, and so in TGI's answer, they
    # count bytes.
    at: Sequence[int] = range(len(text) + 1)
    if not text.isascii():
        at = list(accumulate((len(char.encode()) for char in text), initial=0))
    return [
        SimpleToken(token_id, text[start:stop], at[start], at[stop])
        for token_id, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True)
    ]
