"""The transformers engine, for checkpoints that the NumPy engine cannot compute.

Importing this module imports torch and transformers, so it is imported only when it is needed.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers

from hfgen.server.engine.interface import SequenceId

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hfgen.server.engine.interface import Logits

# Transformers 5 renamed the argument and warns about the old name.
_DTYPE = "torch_dtype" if transformers.__version__.startswith("4.") else "dtype"

# The context length for configs that name none, as with ALiBi.
_UNKNOWN_LENGTH = 2048


class _Cache:
    """The key/value cache of one sequence. The model creates it with the first chunk."""

    __slots__ = ("length", "past")

    def __init__(self) -> None:
        self.past: Any = None
        self.length = 0


class TransformersEngine:
    """An `Engine` on `AutoModelForCausalLM`: on a CUDA device where there is one, else the CPU.

    On the CPU it computes in float32; on a device in the type of the checkpoint.

    Args:
        folder: A checkpoint. Nothing is downloaded, and no code in the folder is run.
    """

    def __init__(self, folder: Path) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = "auto" if self._device.type == "cuda" else torch.float32
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, **{_DTYPE: dtype}
        )
        self._model: Any = model.to(self._device).eval()
        config: Any = model.config.get_text_config()
        self._vocab_size = int(config.vocab_size)
        self._max_positions = int(
            getattr(config, "max_position_embeddings", None) or _UNKNOWN_LENGTH
        )
        # Most architectures can compute the logits of the last positions only.
        self._can_skip = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._caches: dict[SequenceId, _Cache] = {}
        self._opened = 0

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    @property
    def max_positions(self) -> int:
        return self._max_positions

    def open(self) -> SequenceId:
        self._opened += 1
        sequence = SequenceId(self._opened)
        self._caches[sequence] = _Cache()
        return sequence

    def extend(
        self, sequence: SequenceId, token_ids: Sequence[int], *, every_position: bool = False
    ) -> Logits:
        cache = self._caches[sequence]
        end = cache.length + len(token_ids)
        if end > self._max_positions:
            raise ValueError(f"{end} tokens are more than the {self._max_positions} of the model")
        arguments: dict[str, Any] = {}
        if self._can_skip and not every_position:
            arguments["logits_to_keep"] = 1
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.tensor([list(token_ids)], device=self._device),
                past_key_values=cache.past,
                use_cache=True,
                **arguments,
            )
            logits = output.logits[0] if every_position else output.logits[0, -1:]
            # Always a copy: numpy() of a CPU tensor shares its memory.
            rows: Logits = np.array(logits.float().cpu().numpy())
        cache.past, cache.length = output.past_key_values, end
        return rows

    def step(self, sequences: Sequence[SequenceId], token_ids: Sequence[int]) -> Logits:
        """Run the sequences one by one: caches of different lengths cannot be batched unpadded."""
        pairs = zip(sequences, token_ids, strict=True)
        return np.concatenate([self.extend(sequence, [token_id]) for sequence, token_id in pairs])

    def close(self, sequence: SequenceId) -> None:
        self._caches.pop(sequence, None)
