"""Measure a checkpoint: its loss on held-out text, and what its stories are like.

    python tools/model/evaluate.py TEXT CHECKPOINT [--samples 128] [--show 3] [--seed 1]

For each of several prompts, the share of samples that are a story, that keep their names (see
``roles.py``) and that end by themselves.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from checkpoint import compute_mean_loss, load_checkpoint
from corpus import END_ID, Corpus
from llama import Llama
from roles import read_story
from sampling import decode, sample
from stories import read_documents
from tokenizers import Tokenizer

_TEMPERATURE = 0.7
_LIMIT = 400
# Rows sampled side by side: enough that a step is worth its cost, and little memory.
_ROWS = 64


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt, and how it is judged.

    Attributes:
        title: What the report calls it.
        prompt: The prompt. It belongs to the story only if the story ``goes_on`` from it.
        goes_on: Whether the prompt is the beginning of the story.
        bos: Whether the end-of-text token, which is the model's bos too, is put before.
        hero: Who the story should be about; empty when the prompt does not say.
    """

    title: str
    prompt: str
    goes_on: bool = False
    bos: bool = False
    hero: str = ""


CASES = (
    Case("a beginning", "Once upon a time", goes_on=True),
    Case("a beginning, after a bos", "Once upon a time", goes_on=True, bos=True),
    Case("another beginning", "One day,", goes_on=True),
    Case("nothing but a bos", "", bos=True),
    Case("a request", "Tell me a story about a brave fox named Ruby.", hero="Ruby"),
    Case("a request, new name", "Tell me a story about a shy owl named Zelda.", hero="Zelda"),
    Case("a bare name", "Lily", hero="Lily"),
    Case("a question", "What is the capital of France?"),
    Case("a greeting", "Hello, how are you today?"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """Shares of the samples, between 0 and 1; ``hero`` is of use only where a case has one."""

    story: float
    names_kept: float
    ended: float
    hero: float


def judge(texts: list[str], ends: list[bool], case: Case) -> Result:
    """Return the shares of ``texts``, the continuations of a case's prompt."""
    readings = [read_story(case.prompt + text if case.goes_on else text) for text in texts]
    return Result(
        story=_share([reading.is_story for reading in readings]),
        names_kept=_share([reading.keeps_names for reading in readings]),
        ended=_share(ends),
        hero=_share([reading.hero == case.hero for reading in readings]),
    )


def run_case(
    case: Case, model: Llama, tokenizer: Tokenizer, *, samples: int, temperature: float, seed: int
) -> tuple[list[str], list[bool]]:
    """Return the continuations of a case's prompt, and which of them ended by themselves."""
    generator = torch.Generator().manual_seed(seed)
    prompt = [END_ID] * case.bos + tokenizer.encode(case.prompt).ids
    rows: list[list[int]] = []
    while len(rows) < samples:
        rows += sample(
            model,
            prompt,
            rows=min(_ROWS, samples - len(rows)),
            temperature=temperature,
            limit=_LIMIT,
            generator=generator,
        )
    return [decode(tokenizer, row) for row in rows], [row[-1] == END_ID for row in rows]


def report_loss(model: Llama, tokenizer: Tokenizer, documents: list[str]) -> None:
    """Print the loss on held-out documents, in nats a token and in bits a byte."""
    corpus = Corpus.encode(tokenizer, documents)
    loss = compute_mean_loss(model, corpus.windows(model.shape.context))
    bits = loss * len(corpus.tokens) / corpus.bytes / math.log(2)
    print(f"validation loss {loss:.4f} nats a token, {bits:.4f} bits a byte")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a checkpoint.")
    parser.add_argument("text", type=Path, help="the folder of valid.txt")
    parser.add_argument("checkpoint", type=Path, help="the folder of the checkpoint")
    parser.add_argument("--samples", type=int, default=128, help="stories of each prompt")
    parser.add_argument("--show", type=int, default=0, help="stories of each prompt to print")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(2)
    model, tokenizer = load_checkpoint(options.checkpoint)
    report_loss(model, tokenizer, read_documents(options.text / "valid.txt"))

    greedy, _ = run_case(CASES[0], model, tokenizer, samples=1, temperature=0, seed=0)
    print(f"\nGreedy:\n{CASES[0].prompt}{greedy[0]}\n")
    print(f"{'':26} story  names kept  ended  hero asked for")
    for case in CASES:
        texts, ends = run_case(
            case,
            model,
            tokenizer,
            samples=options.samples,
            temperature=_TEMPERATURE,
            seed=options.seed,
        )
        result = judge(texts, ends, case)
        hero = f"{result.hero:.0%}" if case.hero else ""
        print(
            f"{case.title:26} {result.story:5.0%} {result.names_kept:11.0%} "
            f"{result.ended:6.0%} {hero:>15}",
            flush=True,
        )
        for text in texts[: options.show]:
            print(f"\n[{case.prompt}]{text}\n")


def _share(values: list[bool]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
