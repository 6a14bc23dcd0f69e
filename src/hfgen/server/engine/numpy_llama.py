"""The NumPy engine: the forward pass of a Llama in float32, with one cache for each sequence.

The weights are transformed once, when they are loaded, to save time for every token: the scales of
the norms and of attention are multiplied into the matrices that follow them; matrices with the
same input are joined into one; and the two halves of each query and key head are interleaved, so
that the rotary embedding is one multiplication by complex numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from hfgen.server.engine.interface import SequenceId

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hfgen.server.engine.interface import Logits
    from hfgen.server.engine.llama_config import LlamaConfig

_Floats: TypeAlias = npt.NDArray[np.float32]
_Complexes: TypeAlias = npt.NDArray[np.complex64]

# Positions that a new cache has room for. A full cache doubles.
_FIRST_CAPACITY = 64

# A matrix of up to this many weights (4 MB) stays in a core's caches, so rows are multiplied by it
# one by one. Each row then gets the same bits as it would alone, which a BLAS's matrix product does
# not promise. OpenBLAS also uses no threads then; on a busy machine these wait for each other for
# milliseconds. Larger matrices are multiplied by all rows at once, to read them from memory once.
_ROW_BY_ROW_LIMIT = 1 << 20

# To avoid these threads, attention is split into products of at most this many multiplications.
# With more, OpenBLAS uses threads (SMP_THRESHOLD_MIN * GEMM_MULTITHREAD_THRESHOLD in
# interface/gemm.c).
_ATTENTION_LIMIT = 1 << 18


@dataclass(frozen=True, slots=True)
class _Layer:
    """The four matrices of a layer, each (inputs, outputs)."""

    query_key_value: _Floats
    attention_output: _Floats
    gate_up: _Floats
    down: _Floats


class _Cache:
    """The keys and values of one sequence. Views of each layer are kept, to save time per token."""

    __slots__ = ("_entries", "layers", "length")

    def __init__(self, config: LlamaConfig) -> None:
        heads, width = config.num_key_value_heads, config.head_dim
        self.length = 0
        self._set_entries(
            np.empty((config.num_hidden_layers, 2, heads, _FIRST_CAPACITY, width), np.float32)
        )

    def reserve(self, length: int) -> None:
        layers, kinds, heads, capacity, width = self._entries.shape
        if length > capacity:
            grown = np.empty((layers, kinds, heads, max(length, 2 * capacity), width), np.float32)
            grown[:, :, :, : self.length] = self._entries[:, :, :, : self.length]
            self._set_entries(grown)

    def _set_entries(self, entries: _Floats) -> None:
        """Set the array, which has the axes (layer, key or value, head, position, feature)."""
        self._entries = entries
        self.layers = [(both, both[0].transpose(0, 2, 1), both[1]) for both in entries]


class NumpyLlama:
    """An `Engine`: the Llama architecture as transformers' `LlamaForCausalLM` computes it.

    With matrices larger than `_ROW_BY_ROW_LIMIT`, the logits of a sequence depend on its batch in
    their last bits.

    Args:
        config: The shape of the model.
        read_tensor: Called with a name and a shape; returns that tensor in float32.
    """

    def __init__(
        self, config: LlamaConfig, read_tensor: Callable[[str, tuple[int, ...]], _Floats]
    ) -> None:
        self._config = config
        shape = (config.vocab_size, config.hidden_size)
        self._embedding = read_tensor("model.embed_tokens.weight", shape)
        self._layers = [
            _load_layer(config, read_tensor, i) for i in range(config.num_hidden_layers)
        ]
        tied = config.tie_word_embeddings
        head = self._embedding if tied else read_tensor("lm_head.weight", shape)
        self._head = _scaled(head, read_tensor("model.norm.weight", (config.hidden_size,)))
        self._norm_epsilon = np.float32(config.hidden_size * config.rms_norm_eps)
        self._rotations = _compute_rotations(config, _FIRST_CAPACITY)
        self._caches: dict[SequenceId, _Cache] = {}
        self._opened = 0

    @property
    def vocab_size(self) -> int:
        return self._config.vocab_size

    @property
    def max_positions(self) -> int:
        return self._config.max_position_embeddings

    def open(self) -> SequenceId:
        self._opened += 1
        sequence = SequenceId(self._opened)
        self._caches[sequence] = _Cache(self._config)
        return sequence

    def extend(
        self, sequence: SequenceId, token_ids: Sequence[int], *, every_position: bool = False
    ) -> Logits:
        hidden = self._forward([self._caches[sequence]], token_ids)
        return _multiply(self._normed(hidden if every_position else hidden[-1:]), self._head)

    def step(self, sequences: Sequence[SequenceId], token_ids: Sequence[int]) -> Logits:
        caches = [self._caches[sequence] for sequence in sequences]
        return _multiply(self._normed(self._forward(caches, token_ids)), self._head)

    def close(self, sequence: SequenceId) -> None:
        self._caches.pop(sequence, None)

    def _forward(self, caches: Sequence[_Cache], token_ids: Sequence[int]) -> _Floats:
        """Run the tokens through all layers: a chunk for one cache, or one token for each."""
        rows = len(token_ids)
        chunk = rows // len(caches)
        rotations = self._prepare_caches(caches, chunk)
        config = self._config
        rotated_heads = config.num_attention_heads + config.num_key_value_heads
        rotated_width = rotated_heads * config.head_dim
        x = self._embedding[np.asarray(token_ids, np.intp)]
        attended = np.empty((rows, config.num_attention_heads * config.head_dim), np.float32)
        # exp() of a very negative gate overflows to infinity, which gives the right result.
        with np.errstate(over="ignore"):
            for number, layer in enumerate(self._layers):
                qkv = _multiply(self._normed(x), layer.query_key_value)
                pairs = qkv[:, :rotated_width].view(np.complex64)
                pairs = pairs.reshape(rows, rotated_heads, -1)
                pairs *= rotations
                if chunk == 1:
                    for i, cache in enumerate(caches):
                        self._attend_one(cache, number, qkv[i], attended[i])
                else:
                    self._attend_chunk(caches[0], number, qkv, attended)
                x += _multiply(attended, layer.attention_output)
                gate_up = _multiply(self._normed(x), layer.gate_up)
                gate = gate_up[:, : config.intermediate_size]
                gated = np.exp(-gate)
                gated += 1
                np.divide(gate, gated, out=gated)
                gated *= gate_up[:, config.intermediate_size :]
                x += _multiply(gated, layer.down)
        for cache in caches:
            cache.length += chunk
        return x

    def _prepare_caches(self, caches: Sequence[_Cache], chunk: int) -> _Complexes:
        """Make room for the chunk, and return the rotation of each row: (rows, 1, pairs)."""
        end = max(cache.length for cache in caches) + chunk
        if end > self.max_positions:
            raise ValueError(f"{end} tokens are more than the {self.max_positions} of the model")
        if end > len(self._rotations):
            capacity = min(max(end, 2 * len(self._rotations)), self.max_positions)
            self._rotations = _compute_rotations(self._config, capacity)
        for cache in caches:
            cache.reserve(cache.length + chunk)
        positions = [cache.length + i for cache in caches for i in range(chunk)]
        return self._rotations[positions][:, None]

    def _attend_one(self, cache: _Cache, layer: int, qkv: _Floats, attended: _Floats) -> None:
        """Compute the attention of one new token: `_attend_chunk` for one token, but faster."""
        heads, width = self._config.num_key_value_heads, self._config.head_dim
        query_width = self._config.num_attention_heads * width
        entries, keys, values = cache.layers[layer]
        end = cache.length + 1
        entries[:, :, cache.length] = qkv[query_width:].reshape(2, heads, width)
        weights = qkv[:query_width].reshape(heads, -1, width) @ keys[:, :, :end]
        sums = _exponentiate(weights)
        mixed = attended.reshape(heads, -1, width)
        np.matmul(weights, values[:, :end], out=mixed)
        mixed /= sums

    def _attend_chunk(self, cache: _Cache, layer: int, qkv: _Floats, attended: _Floats) -> None:
        """Compute the attention of a chunk to the cache and, up to each token, to itself."""
        heads, width = self._config.num_key_value_heads, self._config.head_dim
        query_width = self._config.num_attention_heads * width
        entries, keys, values = cache.layers[layer]
        past, rows = cache.length, len(qkv)
        new = qkv[:, query_width:].reshape(rows, 2, heads, width)
        entries[:, :, past : past + rows] = new.transpose(1, 2, 0, 3)
        queries = qkv[:, :query_width].reshape(rows, heads, -1, width).transpose(1, 2, 0, 3)
        shared = queries.shape[1]
        block = max(1, _ATTENTION_LIMIT // (shared * width * (past + rows)))
        for start in range(0, rows, block):
            part = queries[:, :, start : start + block]
            size, end = part.shape[2], past + start + part.shape[2]
            # The query heads that share a key head are rows of one product.
            weights = part.reshape(heads, -1, width) @ keys[:, :, :end]
            future = np.triu(np.full((size, size), -np.inf, np.float32), 1)
            weights.reshape(heads, shared, size, end)[..., past + start :] += future
            sums = _exponentiate(weights)
            mixed = weights @ values[:, :end] / sums
            mixed = mixed.reshape(heads, shared, size, width).transpose(2, 0, 1, 3)
            attended[start : start + size] = mixed.reshape(size, -1)

    def _normed(self, x: _Floats) -> _Floats:
        """Apply RMSNorm, but for its scales and the square root of the width: see `_scaled`."""
        norms = np.vecdot(x, x) + self._norm_epsilon
        np.sqrt(norms, out=norms)
        normed: _Floats = x / norms[:, None]
        return normed


def _exponentiate(scores: _Floats) -> _Floats:
    """Turn scores into the numerators of their softmax, in place; return the denominators."""
    scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    sums: _Floats = np.add.reduce(scores, axis=-1, keepdims=True)
    return sums


def _multiply(x: _Floats, matrix: _Floats) -> _Floats:
    if len(x) > 1 and matrix.size <= _ROW_BY_ROW_LIMIT:
        product: _Floats = (x[:, None] @ matrix)[:, 0]
        return product
    return x @ matrix


def _scaled(matrix: _Floats, norm: _Floats) -> _Floats:
    """Multiply the scales that `_normed` leaves out into a matrix, and transpose the matrix."""
    return np.ascontiguousarray((matrix * (norm * np.float32(norm.size**0.5))).T)


def _compute_rotations(config: LlamaConfig, positions: int) -> _Complexes:
    """Return the rotary embedding as complex numbers of modulus one: (positions, half a head).

    It is computed in float32, as transformers does and as models are trained.
    """
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    frequencies = np.float32(1) / np.float32(config.rope_theta) ** exponents
    angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
    rotations = np.empty(angles.shape, np.complex64)
    rotations.real, rotations.imag = np.cos(angles), np.sin(angles)
    return rotations


def _load_layer(
    config: LlamaConfig, read_tensor: Callable[[str, tuple[int, ...]], _Floats], number: int
) -> _Layer:
    hidden, inner, width = config.hidden_size, config.intermediate_size, config.head_dim
    queries, keys = config.num_attention_heads * width, config.num_key_value_heads * width
    prefix = f"model.layers.{number}."

    def read_matrix(name: str, outputs: int, inputs: int) -> _Floats:
        return read_tensor(f"{prefix}{name}.weight", (outputs, inputs))

    def interleave_heads(rows: _Floats) -> _Floats:
        heads = rows.reshape(-1, 2, width // 2, hidden)
        return heads.transpose(0, 2, 1, 3).reshape(-1, hidden)

    def join_matrices(norm: str, *parts: _Floats) -> _Floats:
        return _scaled(np.concatenate(parts), read_tensor(f"{prefix}{norm}.weight", (hidden,)))

    return _Layer(
        query_key_value=join_matrices(
            "input_layernorm",
            interleave_heads(read_matrix("self_attn.q_proj", queries, hidden))
            * np.float32(width**-0.5),
            interleave_heads(read_matrix("self_attn.k_proj", keys, hidden)),
            read_matrix("self_attn.v_proj", keys, hidden),
        ),
        attention_output=np.ascontiguousarray(read_matrix("self_attn.o_proj", hidden, queries).T),
        gate_up=join_matrices(
            "post_attention_layernorm",
            read_matrix("mlp.gate_proj", inner, hidden),
            read_matrix("mlp.up_proj", inner, hidden),
        ),
        down=np.ascontiguousarray(read_matrix("mlp.down_proj", hidden, inner).T),
    )
