"""Chooses the next token from the logits, as TGI does and in its order.

First the penalties apply, then temperature, top-k, top-p and typical-p; then the most likely token
is taken or one is drawn. Reported log-probabilities are those after all of these steps. (TGI:
server/text_generation_server/utils/tokens.py and logits_process.py.)
"""

from __future__ import annotations

import math
import random
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hfgen.server.engine.jobs import Sampling

_Floats: TypeAlias = npt.NDArray[np.float32]

# Penalties keep logits within this bound. It is far larger than any real logit, and the difference
# of two such numbers is still finite; an infinity would become NaN later.
_FARTHEST = float(np.finfo(np.float32).max) / 4

# A temperature below the smallest normal number would divide by zero.
_LOWEST_TEMPERATURE = float(np.finfo(np.float32).tiny)


class ChosenToken(NamedTuple):
    """A chosen token, and the most likely tokens (id and log-probability) if requested."""

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Chooser:
    """Chooses the tokens of one sequence, one by one.

    Args:
        sampling: The settings. A temperature, top_k, top_p or typical_p that is not neutral means
            that tokens are drawn, even if `do_sample` is False, as in TGI's NextTokenChooser.
        prompt_ids: The tokens of the prompt; the penalties count them too.
        vocab_size: The length of the logits.
        top_n_tokens: How many of the most likely tokens to return with each choice. Tokens that
            are as likely as the last of them are returned too; ruled-out tokens are not.
    """

    def __init__(
        self,
        sampling: Sampling,
        prompt_ids: Sequence[int],
        vocab_size: int,
        *,
        top_n_tokens: int = 0,
    ) -> None:
        penalties: list[tuple[bool, Callable[[_Floats], None]]] = [
            (sampling.repetition_penalty != 1, self._penalise_repetition),
            (sampling.frequency_penalty != 0, self._penalise_frequency),
        ]
        warpers: list[tuple[bool, Callable[[_Floats], None]]] = [
            (sampling.temperature != 1, partial(_apply_temperature, value=sampling.temperature)),
            (sampling.top_k > 0, partial(_apply_top_k, k=sampling.top_k)),
            (sampling.top_p < 1, partial(_apply_top_p, p=sampling.top_p)),
            (sampling.typical_p < 1, partial(_apply_typical_p, p=sampling.typical_p)),
        ]
        self._sampling = sampling
        self._counts: npt.NDArray[np.int64] | None = None
        if any(is_active for is_active, _ in penalties):
            self._counts = np.bincount(np.asarray(prompt_ids, np.intp), minlength=vocab_size)
        self._length = len(prompt_ids)
        self._steps = [step for is_active, step in penalties + warpers if is_active]
        self._draws = sampling.do_sample or any(is_active for is_active, _ in warpers)
        # For a seed, Python promises the same random() numbers in every version and on every
        # machine; NumPy promises them within one version only.
        self._random = random.Random(sampling.seed)  # noqa: S311 - text, not secrets
        self._top_n_tokens = min(top_n_tokens, vocab_size)

    def choose(self, logits: _Floats) -> ChosenToken:
        """Choose a token.

        Args:
            logits: A row of logits, which is overwritten.

        Raises:
            ValueError: The largest logit is not finite.
        """
        if not math.isfinite(np.maximum.reduce(logits)):
            raise ValueError("the model's logits are not finite")
        for step in self._steps:
            step(logits)
        logits -= np.maximum.reduce(logits)
        masses = np.exp(logits)
        if self._draws:
            cumulative = np.cumsum(masses, dtype=np.float64)
            total = float(cumulative[-1])
            token_id = int(cumulative.searchsorted(self._random.random() * total, side="right"))
            if token_id == len(logits):  # rounded up to the total
                token_id = int(logits.argmax())
        else:
            total = float(np.add.reduce(masses))
            token_id = int(logits.argmax())
        log_total = math.log(total)
        if self._counts is not None:
            self._counts[token_id] += 1
            self._length += 1
        top = _find_most_likely(logits, self._top_n_tokens, log_total) if self._top_n_tokens else ()
        return ChosenToken(token_id, float(logits[token_id]) - log_total, top)

    def _penalise_repetition(self, logits: _Floats) -> None:
        assert self._counts is not None
        used_ids = np.flatnonzero(self._counts)
        values = logits[used_ids]
        penalty = self._sampling.repetition_penalty
        with np.errstate(over="ignore"):
            changed = np.where(values < 0, values * penalty, values / penalty)
        # Tokens that the model itself rules out (-inf) stay ruled out.
        np.clip(changed, -_FARTHEST, _FARTHEST, out=changed, where=np.isfinite(values))
        logits[used_ids] = changed

    def _penalise_frequency(self, logits: _Floats) -> None:
        """Subtract in proportion to a token's share of the sequence, prompt included.

        TGI's HeterogeneousFrequencyPenaltyLogitsProcessor does this. OpenAI counts generated
        tokens only.
        """
        assert self._counts is not None
        logits -= (self._counts * (self._sampling.frequency_penalty / self._length)).astype(
            np.float32
        )


def log_softmax(logits: _Floats) -> _Floats:
    """Return the log-probabilities of rows of logits."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logprobs: _Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logprobs


def _find_most_likely(
    shifted: _Floats, count: int, log_total: float
) -> tuple[tuple[int, float], ...]:
    """Return the `count` most likely tokens, and those as likely as the last of them.

    TGI's batch_top_tokens: "When multiple tokens have equal probabilities and they don't all
    fit, the remaining tokens are also returned"; what was filtered out is not.
    """
    threshold = np.partition(shifted, -count)[-count]
    ids = np.flatnonzero((shifted >= threshold) & (shifted > -np.inf))
    ids = ids[np.argsort(-shifted[ids], kind="stable")]
    return tuple((int(i), float(shifted[i]) - log_total) for i in ids)


def _apply_temperature(logits: _Floats, *, value: float) -> None:
    # Shift the highest logit to zero first: division leaves it there, and only the others can
    # overflow, to -inf.
    logits -= np.maximum.reduce(logits)
    with np.errstate(over="ignore"):
        logits /= max(value, _LOWEST_TEMPERATURE)


def _apply_top_k(logits: _Floats, *, k: int) -> None:
    """Rule out the tokens less likely than the k-th; those equally likely stay."""
    if k < len(logits):
        logits[logits < np.partition(logits, -k)[-k]] = -np.inf


def _apply_top_p(logits: _Floats, *, p: float) -> None:
    """Rule out the least likely tokens, up to a total of 1 - p; ties with a kept token stay."""
    ascending = np.sort(logits[logits > -np.inf])
    masses = np.exp(ascending - ascending[-1])
    cumulative = np.cumsum(masses, dtype=np.float64)
    tail = int(cumulative.searchsorted((1 - p) * cumulative[-1], side="right"))
    logits[logits < ascending[min(tail, len(ascending) - 1)]] = -np.inf


def _apply_typical_p(logits: _Floats, *, p: float) -> None:
    """Keep the tokens whose information is closest to the entropy, up to a total of p."""
    ids = np.flatnonzero(logits > -np.inf)
    logprobs = log_softmax(logits[ids])
    masses = np.exp(logprobs)
    distance = np.abs(logprobs - masses @ logprobs)
    order = np.argsort(distance)
    cumulative = np.cumsum(masses[order], dtype=np.float64)
    last = min(int(cumulative.searchsorted(p, side="left")), len(order) - 1)
    logits[ids[distance > distance[order[last]]]] = -np.inf
