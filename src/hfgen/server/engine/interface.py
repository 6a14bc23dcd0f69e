"""The `Engine` protocol: token ids in, logits out. Implement this to add an engine.

An engine holds the key/value caches of the open sequences. It does not choose tokens, decode text
or read the time. It is called from one thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

# Rows of unnormalised log-probabilities. The caller may keep and overwrite them.
Logits: TypeAlias = npt.NDArray[np.float32]

# Identifies an open sequence of an engine. An engine never reuses one after `close`.
SequenceId = NewType("SequenceId", int)


class Engine(Protocol):
    """A model's forward pass with a key/value cache for each sequence.

    The logits of a sequence depend on its own tokens and on how `extend` split them into chunks,
    but not on the other sequences of the same `step`. An engine for which this holds only up to
    rounding says so in its docstring. After a call that raises, its sequences may only be closed.
    """

    @property
    def vocab_size(self) -> int:
        """The length of a row of logits."""

    @property
    def max_positions(self) -> int:
        """How many tokens a sequence may hold."""

    def open(self) -> SequenceId:
        """Open an empty sequence."""

    def extend(
        self,
        sequence: SequenceId,
        token_ids: Sequence[int],
        *,
        every_position: bool = False,
    ) -> Logits:
        """Append a chunk of at least one token to a sequence.

        Args:
            sequence: What `open` returned.
            token_ids: The chunk.
            every_position: Whether to return the logits after each token of the chunk, which the
                log-probabilities of a prompt need, or only those after the last token.

        Returns:
            An array of one row, or of as many rows as the chunk has tokens.

        Raises:
            ValueError: The sequence would become longer than `max_positions`.
        """

    def step(self, sequences: Sequence[SequenceId], token_ids: Sequence[int]) -> Logits:
        """Append one token to each of several different sequences.

        Returns:
            The logits after that token, one row for each sequence, in their order.

        Raises:
            ValueError: A sequence would become longer than `max_positions`.
        """

    def close(self, sequence: SequenceId) -> None:
        """Free a sequence, in whatever state it is. Closing a sequence twice is harmless."""
