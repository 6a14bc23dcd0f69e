"""Sampling text from the model, many rows of one prompt at a time."""

import torch
from corpus import END_ID
from llama import Llama, Memory
from tokenizers import Tokenizer


@torch.no_grad()
def sample(
    model: Llama,
    prompt: list[int],
    *,
    rows: int,
    temperature: float,
    limit: int,
    generator: torch.Generator,
) -> list[list[int]]:
    """Continue ``prompt`` ``rows`` times and return the tokens after it.

    A row that ended by itself has the end-of-text token at its end. Others have ``limit`` tokens.

    Args:
        model: The model.
        prompt: What the model reads first, as it is: no token is put before it.
        rows: How many continuations to draw.
        temperature: Zero takes the most likely token each time.
        limit: The most tokens drawn for a row.
        generator: Where chance comes from.
    """
    memories = [Memory() for _ in model.layers]
    tokens = torch.tensor([prompt] * rows)
    drawn: list[list[int]] = [[] for _ in range(rows)]
    for _ in range(limit):
        logits = model(tokens, memories)[:, -1]
        if temperature > 0:
            shares = torch.softmax(logits / temperature, dim=-1)
            tokens = torch.multinomial(shares, 1, generator=generator)
        else:
            tokens = logits.argmax(dim=-1, keepdim=True)
        open_rows = 0
        for row, token in zip(drawn, tokens[:, 0].tolist(), strict=True):
            if row[-1:] != [END_ID]:
                row.append(token)
                open_rows += token != END_ID
        if not open_rows:
            break
    return drawn


def decode(tokenizer: Tokenizer, tokens: list[int]) -> str:
    """Return the text of ``tokens`` without the end-of-text token."""
    return tokenizer.decode(tokens, skip_special_tokens=True)
