"""From text to tokens: the tokenizer, and the stream of tokens that windows are cut from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from stories import END_OF_TEXT
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

END_ID = 0


def train_tokenizer(documents: Sequence[str], size: int) -> Tokenizer:
    """Return a byte-level BPE of ``size`` tokens, of which the end of text is the first.

    It has no post-processor: what encodes a prompt adds nothing to it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        # Every byte is a token, so that no text is out of reach though the stories are ASCII.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    assert tokenizer.token_to_id(END_OF_TEXT) == END_ID
    return tokenizer


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents in a row, each behind an end-of-text token, and one more at the very end.

    Attributes:
        tokens: The whole stream.
        starts: Where the first token of each document is, behind its end-of-text token.
        bytes: The size of the text.
    """

    tokens: Tensor
    starts: Tensor
    bytes: int

    @classmethod
    def encode(cls, tokenizer: Tokenizer, documents: Sequence[str]) -> "Corpus":
        stream: list[int] = []
        starts: list[int] = []
        for encoding in tokenizer.encode_batch(list(documents)):
            stream.append(END_ID)
            starts.append(len(stream))
            stream.extend(encoding.ids)
        stream.append(END_ID)
        return cls(
            tokens=torch.from_numpy(np.array(stream, dtype=np.int64)),
            starts=torch.tensor(starts),
            bytes=sum(len(document.encode()) for document in documents),
        )

    def draw(self, generator: torch.Generator, *, rows: int, length: int, at_start: int) -> Tensor:
        """Return ``rows`` windows of ``length`` tokens and the one after.

        ``at_start`` of them begin with the first word of a document, with no token before it, as
        prompts do; the others begin anywhere.
        """
        last = len(self.tokens) - length - 1
        anywhere = torch.randint(last, (rows - at_start,), generator=generator)
        picks = torch.randint(len(self.starts), (at_start,), generator=generator)
        offsets = torch.cat((anywhere, self.starts[picks].clamp(max=last)))
        return self.tokens[offsets[:, None] + torch.arange(length + 1)]

    def windows(self, length: int) -> Tensor:
        """Return the stream cut into rows of ``length`` tokens and the first of the next row."""
        return self.tokens.unfold(0, length + 1, length)
