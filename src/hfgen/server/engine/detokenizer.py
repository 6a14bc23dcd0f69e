"""Turns tokens into text one by one, and never emits half a character."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tokenizers.decoders import DecodeStream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tokenizers import Tokenizer

# Some decoders need the tokens on the left to join words. TGI gives them this many tokens of the
# prompt (`prefix_offset = input_len - 5` in causal_lm.py).
_CONTEXT = 5


class Vocabulary:
    """The texts of a tokenizer's tokens, each by itself.

    Args:
        tokenizer: The tokenizer of the model.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._texts: dict[int, str] = {}

    @cached_property
    def special_tokens(self) -> Mapping[int, str]:
        """The special tokens and their text, by id."""
        added = self.tokenizer.get_added_tokens_decoder()
        return {token_id: token.content for token_id, token in added.items() if token.special}

    def decode_alone(self, token_id: int) -> str:
        """Return the text of a token without its neighbours; half a character becomes U+FFFD.

        TGI shows the tokens of a prompt and the most likely tokens in this way.
        """
        text = self._texts.get(token_id)
        if text is None:
            text = self.tokenizer.decode([token_id], skip_special_tokens=False)
            self._texts[token_id] = text
        return text


class Detokenizer:
    """Turns the tokens of one sequence into text as they come.

    The texts that `push` returns for tokens that are not special, and then `flush`, together equal
    what the tokenizer decodes from all tokens at once with `skip_special_tokens`. A special token
    between the two halves of a character does not separate them.

    Args:
        vocabulary: The tokens of the model.
        prompt_ids: The tokens of the prompt, which the generated tokens follow. Their text is not
            returned.
    """

    def __init__(self, vocabulary: Vocabulary, prompt_ids: Sequence[int] = ()) -> None:
        self._vocabulary = vocabulary
        self._stream = DecodeStream(skip_special_tokens=True)
        self._pending: list[int] = []
        for token_id in prompt_ids[-_CONTEXT:]:
            self._step(token_id)
        self._pending.clear()

    def push(self, token_id: int) -> str:
        """Return the text that this token adds; it is empty while a character is incomplete.

        For a special token this is its own text, which leaves the text of the others unchanged.
        """
        special = self._vocabulary.special_tokens.get(token_id)
        return self._step(token_id) if special is None else special

    def flush(self) -> str:
        """Return the bytes of a character that stayed incomplete, as U+FFFD."""
        pending, self._pending = self._pending, []
        return self._decode(pending) if pending else ""

    def _step(self, token_id: int) -> str:
        self._pending.append(token_id)
        try:
            text = self._stream.step(self._vocabulary.tokenizer, token_id)
        except Exception:  # noqa: BLE001 - tokenizers raises the bare class
            # "Invalid prefix encountered": a decoder with byte fallback changed a character that it
            # had returned, because of the bytes after it. Returned text stays as it is.
            self._stream = DecodeStream(skip_special_tokens=True)
            return self.flush()
        if text is None:
            return ""
        self._pending.clear()
        return text

    def _decode(self, token_ids: Sequence[int]) -> str:
        return self._vocabulary.tokenizer.decode(token_ids, skip_special_tokens=True)
