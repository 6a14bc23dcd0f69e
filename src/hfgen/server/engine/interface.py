"""The small interface between the batcher and whatever computes: token ids in, logits out.

An engine holds the key/value caches of the sequences that are open. It chooses nothing, decodes
nothing and keeps no clock; it is called from one thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

# Rows of unnormalised log-probabilities. The caller may keep and overwrite them.
Logits: TypeAlias = npt.NDArray[np.float32]

# Names one open sequence of one engine; never used again after `close`.
SequenceId = NewType("SequenceId", int)


class Engine(Protocol):
    """What a forward pass with a key/value cache offers, whatever it is made of.

    The logits of a sequence depend on its own tokens and on how `extend` cut them into chunks,
    not on the sequences it is stepped with; an engine for which this holds only up to rounding
    says so. A call that raises leaves the sequences it named fit for `close` alone.
    """

    @property
    def vocab_size(self) -> int:
        """The length of a row of logits."""

    @property
    def max_positions(self) -> int:
        """How many tokens a sequence may hold."""

    def open(self) -> SequenceId:
        """Begin an empty sequence."""

    def extend(
        self,
        sequence: SequenceId,
        token_ids: Sequence[int],
        *,
        every_position: bool = False,
    ) -> Logits:
        """Append a chunk of at least one token to a sequence.

        Args:
            sequence: what `open` returned.
            token_ids: the chunk.
            every_position: whether to return the logits after each token of the chunk, as
                log-probabilities of a prompt need, and not after the last one alone.

        Returns:
            An array of one row, or of as many rows as the chunk has tokens.

        Raises:
            ValueError: the sequence would become longer than `max_positions`.
        """

    def step(self, sequences: Sequence[SequenceId], token_ids: Sequence[int]) -> Logits:
        """Append one token to each of several sequences, none of them twice.

        Returns:
            The logits after that token, one row for each sequence, in their order.

        Raises:
            ValueError: a sequence would become longer than `max_positions`.
        """

    def close(self, sequence: SequenceId) -> None:
        """Free a sequence, in whatever state it is; nothing happens where it is closed already."""
