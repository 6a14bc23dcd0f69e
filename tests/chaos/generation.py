"""The generated text of each stream, drawn from the seed and the stream's number. No I/O."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from hfgen import testing

# Texts that have broken decoders: several bytes, line separators, text that looks like SSE.
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
        number: The number of its stream.
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
        # Some have their place in the text, so that a doubled token is seen.
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
        """Return the text of the first `count` tokens."""
        return "".join(self.tokens[: min(count, len(self.tokens) - self.ends_special)])

    def count_known_tokens(self, request: dict[str, Any]) -> int:
        """Return how many tokens the request has in its prompt already.

        Raises:
            AssertionError: The request does not ask for exactly the missing tokens.
        """
        remaining: int = request["parameters"]["max_new_tokens"]
        known = len(self.tokens) - remaining
        assert 0 <= known < len(self.tokens), f"asks for {remaining} of {len(self.tokens)} tokens"
        assert request["inputs"] == self.prompt + self.text_of(known), (
            f"asks for {remaining} of {len(self.tokens)} tokens, after {request['inputs']!r}"
        )
        return known

    def events(self, request: dict[str, Any]) -> list[bytes]:
        """Return TGI's stream of the missing tokens, with indexes from 1 and their whole text."""
        known = self.count_known_tokens(request)
        rest = self.tokens[known:]
        events = []
        for index, token in enumerate(rest, start=1):
            is_last = index == len(rest)
            chunk = testing.chunk(
                token,
                index=index,
                special=is_last and self.ends_special,
                generated_text=self.text.removeprefix(self.text_of(known)) if is_last else None,
                details=self._details(request, len(rest)) if is_last else None,
            )
            events.append(testing.event(chunk))
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
