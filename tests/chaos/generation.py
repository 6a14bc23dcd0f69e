"""What is generated: the text of each stream, from nothing but the seed and its number. No I/O."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from hfgen import testing

# What has broken decoders: more than one byte, ends of lines that are none, what looks like SSE.
_WORDS = (
    " a",
    " wörter",
    "é",
    "日本",
    "🦊",
    "👩\u200d👧",
    "\u2028",
    "\u2029",
    "\x85",
    "\n",
    "\r\n",
    "\n\ndata: ",
    '"}',
    "\\",
    "\ufeff",
)


@dataclass(frozen=True, slots=True)
class Generation:
    """The one generation that a prompt leads to, as with greedy decoding.

    Attributes:
        number: Which stream it is for.
        tokens: The texts of its tokens.
        ends_special: Whether the last token is a special one, and no part of the text.
    """

    number: int
    tokens: tuple[str, ...]
    ends_special: bool

    @staticmethod
    def of(seed: int, number: int) -> Generation:
        rng = random.Random(f"tale {seed} {number}")
        words = [rng.choice(_WORDS) for _ in range(rng.randint(2, 30))]
        # Some with their place: a doubled token then shows what it is.
        tokens = [f"{word}{i}" if rng.random() < 0.5 else word for i, word in enumerate(words)]
        ends_special = rng.random() < 0.5
        return Generation(number, (*tokens, *["</s>"] * ends_special), ends_special)

    @property
    def prompt(self) -> str:
        return f"{self.number}|"

    @property
    def text(self) -> str:
        return self.text_of(len(self.tokens))

    def text_of(self, count: int) -> str:
        """Return the text of the first so many tokens."""
        return "".join(self.tokens[: min(count, len(self.tokens) - self.ends_special)])

    def count_known_tokens(self, request: dict[str, Any]) -> int:
        """Return how many tokens the request has in its prompt already.

        Raises:
            AssertionError: What it asks for is not what is missing.
        """
        left: int = request["parameters"]["max_new_tokens"]
        told = len(self.tokens) - left
        assert 0 <= told < len(self.tokens), f"asks for {left} of {len(self.tokens)} tokens"
        assert request["inputs"] == self.prompt + self.text_of(told), (
            f"asks for {left} of {len(self.tokens)} tokens, after {request['inputs']!r}"
        )
        return told

    def events(self, request: dict[str, Any]) -> list[bytes]:
        """Return what TGI would stream: what is missing, counted from 1, and the whole of that."""
        told = self.count_known_tokens(request)
        rest = self.tokens[told:]
        events = []
        for index, token in enumerate(rest, start=1):
            is_last = index == len(rest)
            facts = testing.chunk(
                token,
                index=index,
                special=is_last and self.ends_special,
                generated_text=self.text.removeprefix(self.text_of(told)) if is_last else None,
                details=self._details(request, len(rest)) if is_last else None,
            )
            events.append(testing.event(facts))
        return events

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what TGI would answer without a stream."""
        assert self.count_known_tokens(request) == 0, "only a stream is picked up"
        return {"generated_text": self.text}

    @staticmethod
    def _details(request: dict[str, Any], count: int) -> dict[str, Any] | None:
        if not request["parameters"].get("details"):
            return None
        return {"finish_reason": "length", "generated_tokens": count, "seed": None}


def read_number(request: dict[str, Any]) -> int:
    """Return which stream a request is for."""
    return int(request["inputs"].partition("|")[0])
