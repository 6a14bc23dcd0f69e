"""Make the training and validation text: simple stories for children, from a seed.

    python tools/model/stories.py FOLDER [--train 15500] [--valid 400] [--seed 1]

Writes ``train.txt`` and ``valid.txt``. Documents end with a line that holds ``<|endoftext|>``. The
same seed gives the same text, byte for byte, on every machine.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from cast import draw_cast
from extras import add_extra
from plots_alone import ALONE
from plots_helping import HELPING
from plots_together import TOGETHER
from telling import Narrative, Teller

END_OF_TEXT = "<|endoftext|>"
PLOTS = (*ALONE, *HELPING, *TOGETHER)


@dataclass(frozen=True, slots=True)
class Story:
    """A told story and the document made of it."""

    narrative: Narrative
    document: str


def draw_story(rng: Random) -> Story:
    """Draw a cast and a plot, tell them, and add what stands around."""
    narrative = Teller(draw_cast(rng), rng.choice(PLOTS), rng).tell()
    return Story(narrative=narrative, document=add_extra(narrative, rng))


def draw_stories(seed: int | str, count: int) -> Iterator[Story]:
    """Yield ``count`` stories; the same ``seed`` gives the same ones."""
    rng = Random(seed)
    for _ in range(count):
        yield draw_story(rng)


def write_stories(path: Path, seed: int | str, count: int) -> int:
    """Write ``count`` documents to ``path`` and return the number of bytes."""
    documents = (story.document for story in draw_stories(seed, count))
    text = "".join(f"{document}\n{END_OF_TEXT}\n" for document in documents)
    return path.write_bytes(text.encode("ascii"))


def read_documents(path: Path) -> list[str]:
    """Return the documents of a file that :func:`write_stories` wrote."""
    return [d.strip("\n") for d in path.read_text("ascii").split(END_OF_TEXT) if d.strip()]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the text that the model is trained on.")
    parser.add_argument("folder", type=Path, help="where train.txt and valid.txt are written")
    parser.add_argument("--train", type=int, default=15_500, help="documents to train on")
    parser.add_argument("--valid", type=int, default=400, help="documents held out")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "valid"):
        # A seed of its own: the held-out text stays the same when more is made to train on.
        count = getattr(options, name)
        size = write_stories(options.folder / f"{name}.txt", f"{name}-{options.seed}", count)
        print(f"{name}.txt: {count:,} documents, {size:,} bytes")


if __name__ == "__main__":
    main()
