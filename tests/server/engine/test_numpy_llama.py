"""The NumPy engine, compared with a plain and slow forward pass."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from hfgen.server.engine import numpy_llama
from hfgen.server.engine.checkpoint import load_checkpoint


def reference(checkpoint, ids):
    """Logits of all positions: everything recomputed, one head and one position at a time."""
    config, weights = checkpoint.config, checkpoint.weights
    width, eps = config["head_dim"], config["rms_norm_eps"]
    shared = config["num_attention_heads"] // config["num_key_value_heads"]

    def weight(name):
        return weights[f"{name}.weight"].astype(np.float64)

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight(name)

    def rotate(x, position):
        half = width // 2
        angles = position / config["rope_theta"] ** (np.arange(half) * 2 / width)
        first, second = x[:half], x[half:]
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin])

    x = weight("model.embed_tokens")[list(ids)]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        h = norm(x, f"{layer}.input_layernorm")
        q, k, v = (h @ weight(f"{layer}.self_attn.{part}_proj").T for part in "qkv")
        heads = []
        for head in range(config["num_attention_heads"]):
            query_columns, key_columns = (
                slice(n * width, (n + 1) * width) for n in (head, head // shared)
            )
            rows = []
            for t in range(len(ids)):
                query = rotate(q[t, query_columns], t)
                scores = [query @ rotate(k[s, key_columns], s) / width**0.5 for s in range(t + 1)]
                masses = np.exp(scores)
                rows.append(masses / masses.sum() @ v[: t + 1, key_columns])
            heads.append(np.array(rows))
        x = x + np.concatenate(heads, axis=1) @ weight(f"{layer}.self_attn.o_proj").T
        h = norm(x, f"{layer}.post_attention_layernorm")
        gate = h @ weight(f"{layer}.mlp.gate_proj").T
        inner = gate / (1 + np.exp(-gate)) * (h @ weight(f"{layer}.mlp.up_proj").T)
        x = x + inner @ weight(f"{layer}.mlp.down_proj").T
    head = "model.embed_tokens" if config["tie_word_embeddings"] else "lm_head"
    return norm(x, "model.norm") @ weight(head).T


def random_ids(count, seed=0):
    return np.random.default_rng(seed).integers(0, 300, count).tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dtype": "BF16"},
        {"dtype": "F16", "tie_word_embeddings": True},
        {"dtype": "F64", "shards": 3},
        {"num_key_value_heads": 4, "head_dim": 8},
        {"num_key_value_heads": 1, "rms_norm_eps": 1e-2},
        {"num_hidden_layers": 1, "intermediate_size": 20},
    ],
)
def test_logits_are_those_of_the_reference(make_checkpoint, changes):
    checkpoint = make_checkpoint(**changes)
    engine, ids = load_checkpoint(checkpoint.path).engine, random_ids(40)
    expected = reference(checkpoint, ids)
    sequence = engine.open()
    prompt = engine.extend(sequence, ids[:30], every_position=True)
    np.testing.assert_allclose(prompt, expected[:30], atol=2e-4)
    for i in range(30, 40):
        row = engine.step([sequence], [ids[i]])
        assert row.shape == (1, engine.vocab_size)
        assert row.dtype == np.float32
        np.testing.assert_allclose(row[0], expected[i], atol=2e-4)


def test_without_every_position_there_is_the_last_row(model):
    engine, ids = model.engine, random_ids(9)
    rows = engine.extend(engine.open(), ids, every_position=True)
    last = engine.extend(engine.open(), ids)
    assert rows.shape == (9, engine.vocab_size)
    np.testing.assert_allclose(last, rows[-1:], atol=1e-5)


@pytest.mark.parametrize("cuts", [[1], [64], [65], [100, 101], [7, 30, 31, 90], range(1, 150)])
def test_in_chunks_or_whole(model, cuts):
    engine, ids = model.engine, random_ids(150)
    whole = engine.extend(engine.open(), ids, every_position=True)
    sequence, bounds = engine.open(), [0, *cuts, 150]
    parts = [
        engine.extend(sequence, ids[start:end], every_position=True)
        for start, end in pairwise(bounds)
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


@pytest.mark.parametrize("size", [2, 3, 4, 7, 8, 16, 33])
def test_a_row_of_a_batch_is_bit_for_bit_what_it_is_alone(model, size):
    engine = model.engine

    def open_sequences():
        sequences = [engine.open() for _ in range(size)]
        for i, sequence in enumerate(sequences):
            engine.extend(sequence, random_ids(3 + 5 * i % 71, seed=i))
        return sequences

    together, alone = open_sequences(), open_sequences()
    for token_id in range(5):
        rows = engine.step(together, [token_id + i for i in range(size)])
        for i, sequence in enumerate(alone):
            np.testing.assert_array_equal(rows[i], engine.step([sequence], [token_id + i])[0])
        together, alone = together[::-1], alone[::-1]


def test_attention_in_blocks_or_whole(model, monkeypatch):
    engine, ids = model.engine, random_ids(100)
    whole = engine.extend(engine.open(), ids, every_position=True)
    monkeypatch.setattr(numpy_llama, "_ATTENTION_LIMIT", 2 * 12 * 100 * 7)
    sequence = engine.open()
    engine.extend(sequence, ids[:20])
    blocks = engine.extend(sequence, ids[20:], every_position=True)
    np.testing.assert_allclose(blocks, whole[20:], atol=1e-4)


def test_large_matrices_are_multiplied_at_once_to_the_same_end(model, monkeypatch):
    engine = model.engine
    sequences = [engine.open() for _ in range(6)]
    for sequence in sequences:
        engine.extend(sequence, random_ids(10))
    monkeypatch.setattr(numpy_llama, "_ROW_BY_ROW_LIMIT", 0)
    at_once = engine.step(sequences[:3], [5, 6, 7])
    monkeypatch.undo()
    np.testing.assert_allclose(at_once, engine.step(sequences[3:], [5, 6, 7]), atol=1e-5)


def test_memory_is_taken_as_a_sequence_grows_and_given_back(make_checkpoint):
    engine = load_checkpoint(make_checkpoint(max_position_embeddings=1_000_000).path).engine
    sequence = engine.open()
    engine.extend(sequence, [1, 2, 3])
    cache = engine._caches[sequence]
    assert cache._entries.nbytes < 100_000
    assert engine._rotations.nbytes < 100_000
    engine.extend(sequence, random_ids(500))
    assert cache._entries.shape[3] < 1000
    engine.close(sequence)
    engine.close(sequence)
    assert not engine._caches


def test_a_full_context_is_refused(model):
    engine = model.engine
    sequence = engine.open()
    engine.extend(sequence, random_ids(engine.max_positions))
    with pytest.raises(ValueError, match="161 tokens are more than the 160 of the model"):
        engine.step([sequence], [1])
    with pytest.raises(ValueError, match="161 tokens"):
        engine.extend(engine.open(), random_ids(161))


def test_logits_are_the_callers_own(model):
    engine = model.engine
    first, second = engine.open(), engine.open()
    rows = engine.extend(first, [1, 2])
    copy = rows.copy()
    rows[:] = 0
    np.testing.assert_array_equal(engine.extend(second, [1, 2]), copy)


def test_a_saturated_gate_is_no_warning(make_checkpoint):
    checkpoint = make_checkpoint(num_hidden_layers=1)
    engine = load_checkpoint(checkpoint.path).engine
    engine._layers[0].gate_up[:] *= 1000
    assert np.isfinite(engine.extend(engine.open(), random_ids(20))).all()
