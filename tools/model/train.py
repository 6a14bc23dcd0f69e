"""Train the model on the text that ``stories.py`` made, and save a Hugging Face checkpoint.

    python tools/model/train.py TEXT CHECKPOINT [--steps 2400] [--seed 1]

Runs on two threads of a CPU. The number of steps is fixed, not the time, and every draw is seeded:
the same versions on the same kind of CPU give the same model. Another kind of CPU or another
version of torch adds in another order, and bits of the result then differ.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from checkpoint import compute_mean_loss, save_checkpoint
from corpus import Corpus, train_tokenizer
from llama import Llama, Shape
from muon import Muon
from stories import read_documents
from torch import nn

# Fixed, since the order of additions depends on it.
_THREADS = 2
_REPORT_EVERY = 100


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the model is trained.

    Most steps see short windows, which hold a story and cost less; the last ones see the full
    context. Both are of one number of tokens, so that a step means the same throughout.

    Attributes:
        steps: The number of steps.
        short: Rows and length of the short windows.
        full: Rows and length of the full ones.
        full_share: The share of steps, at the end, with full windows.
        at_start: The share of rows that begin with the first word of a document.
        muon_rate: Muon's rate, for the matrices inside the layers.
        adam_rate: AdamW's rate, for the embedding and the norms.
        warmup: Steps in which the rates rise.
        decay_from: The share of steps after which they fall, in a line, to ``floor``.
        floor: The last rate, as a share of the highest.
    """

    steps: int
    short: tuple[int, int] = (12, 256)
    full: tuple[int, int] = (6, 512)
    full_share: float = 0.15
    at_start: float = 0.25
    muon_rate: float = 0.02
    adam_rate: float = 0.004
    warmup: int = 80
    decay_from: float = 0.25
    floor: float = 0.02

    def window(self, step: int) -> tuple[int, int]:
        """Return rows and length of the windows at ``step``, counted from 0."""
        return self.full if step >= self.steps * (1 - self.full_share) else self.short

    def rate(self, step: int) -> float:
        """Return the share of the highest rate at ``step``, counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup)
        fallen = max(0.0, (step / self.steps - self.decay_from) / (1 - self.decay_from))
        return warm * max(self.floor, 1 - fallen)


def make_optimisers(model: Llama, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices inside the layers and AdamW for all the rest."""
    hidden = [p for p in model.layers.parameters() if p.dim() > 1]
    norms = [p for p in model.parameters() if p.dim() == 1]
    groups = [
        {"params": [model.embed_tokens.weight], "weight_decay": 0.05},
        {"params": norms, "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=recipe.adam_rate, betas=(0.9, 0.98), fused=True)
    return [Muon(hidden, lr=recipe.muon_rate), adam]


def train(model: Llama, corpus: Corpus, recipe: Recipe, seed: int) -> Iterator[tuple[int, float]]:
    """Train ``model`` and yield the number of steps done and the loss of the last."""
    generator = torch.Generator().manual_seed(seed)
    optimisers = make_optimisers(model, recipe)
    groups = [group for optimiser in optimisers for group in optimiser.param_groups]
    highest = [group["lr"] for group in groups]
    for step in range(recipe.steps):
        for group, rate in zip(groups, highest, strict=True):
            group["lr"] = rate * recipe.rate(step)
        rows, length = recipe.window(step)
        at_start = round(rows * recipe.at_start)
        loss = model.loss(corpus.draw(generator, rows=rows, length=length, at_start=at_start))
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        yield step + 1, loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled model.")
    parser.add_argument("text", type=Path, help="the folder of train.txt and valid.txt")
    parser.add_argument("checkpoint", type=Path, help="the folder that is written")
    parser.add_argument("--steps", type=int, default=2400, help="of 3,072 tokens each")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(_THREADS)
    torch.use_deterministic_algorithms(True)

    shape, recipe = Shape(), Recipe(steps=options.steps)
    documents = read_documents(options.text / "train.txt")
    tokenizer = train_tokenizer(documents, shape.vocabulary)
    corpus = Corpus.encode(tokenizer, documents)
    held_out = Corpus.encode(tokenizer, read_documents(options.text / "valid.txt"))
    model = Llama(shape)
    print(f"parameters {sum(p.numel() for p in model.parameters()):,}")
    print(f"tokens {len(corpus.tokens):,}, bytes a token {corpus.bytes / len(corpus.tokens):.2f}")

    begin = time.monotonic()
    tokens_seen = 0
    for done, loss in train(model, corpus, recipe, options.seed):
        rows, length = recipe.window(done - 1)
        tokens_seen += rows * length
        if done % _REPORT_EVERY == 0 or done == recipe.steps:
            elapsed = time.monotonic() - begin
            print(
                f"step {done:5} loss {loss:.4f} {tokens_seen:,} tokens {elapsed:.0f} s", flush=True
            )
    model.eval()
    loss = compute_mean_loss(model, held_out.windows(shape.context))
    print(f"validation loss {loss:.4f} nats a token")
    save_checkpoint(options.checkpoint, model, tokenizer)


if __name__ == "__main__":
    main()
