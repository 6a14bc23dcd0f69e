"""The same checkpoints on both engines. Without torch there is nothing to compare."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from hfgen.server.engine.checkpoint import BUNDLED, CheckpointError, load_checkpoint  # noqa: E402
from hfgen.server.engine.transformers import TransformersEngine  # noqa: E402

# transformers and torch warn of their own affairs.
pytestmark = pytest.mark.filterwarnings("default")


def random_ids(count, vocab_size=300):
    return np.random.default_rng(0).integers(0, vocab_size, count).tolist()


def rows_of(engine, ids, cut):
    sequence = engine.open()
    rows = [engine.extend(sequence, ids[:cut], every_position=True)]
    rows += [engine.step([sequence], [token_id]) for token_id in ids[cut:]]
    engine.close(sequence)
    return np.concatenate(rows)


@pytest.mark.parametrize(
    "changes",
    [{}, {"dtype": "BF16"}, {"dtype": "F16", "tie_word_embeddings": True}, {"shards": 2}],
)
def test_both_engines_give_the_same_logits(make_checkpoint, changes):
    path, ids = make_checkpoint(**changes).path, random_ids(60)
    light, heavy = load_checkpoint(path).engine, TransformersEngine(path)
    assert (light.vocab_size, light.max_positions) == (heavy.vocab_size, heavy.max_positions)
    np.testing.assert_allclose(rows_of(heavy, ids, 40), rows_of(light, ids, 40), atol=1e-4)


def test_both_engines_give_the_same_logits_for_the_bundled_model(bundled):
    ids = random_ids(bundled.engine.max_positions, bundled.engine.vocab_size)
    heavy = TransformersEngine(BUNDLED)
    cut = len(ids) - 20
    np.testing.assert_allclose(
        rows_of(heavy, ids, cut), rows_of(bundled.engine, ids, cut), atol=1e-4
    )


def test_chunks_steps_and_rows(checkpoint):
    engine, ids = TransformersEngine(checkpoint.path), random_ids(50)
    whole = engine.extend(engine.open(), ids, every_position=True)
    first, second = engine.open(), engine.open()
    engine.extend(first, ids[:20])
    np.testing.assert_allclose(engine.extend(first, ids[20:49]), whole[48:49], atol=1e-4)
    engine.extend(second, ids[:9])
    rows = engine.step([second, first], [ids[9], ids[49]])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, whole[[9, 49]], atol=1e-4)
    rows[:] = 0
    engine.close(first)
    engine.close(first)
    with pytest.raises(KeyError):
        engine.step([first], [1])


def test_a_full_context_is_refused(checkpoint):
    engine = TransformersEngine(checkpoint.path)
    sequence = engine.open()
    engine.extend(sequence, random_ids(160))
    with pytest.raises(ValueError, match="161 tokens are more than the 160 of the model"):
        engine.step([sequence], [1])


def test_rope_scaling_goes_to_transformers(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint.path, tmp_path / "scaled")
    scaling = {"rope_type": "linear", "factor": 2.0}
    (folder / "config.json").write_text(json.dumps(checkpoint.config | {"rope_scaling": scaling}))
    model = load_checkpoint(folder)
    assert model.engine_name == "transformers"
    assert model.engine.extend(model.engine.open(), [1, 2]).shape == (1, 300)


def test_gpt2_is_served(checkpoint, tmp_path):
    config = transformers.GPT2Config(
        vocab_size=300, n_embd=32, n_layer=2, n_head=2, n_positions=64, eos_token_id=0
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    shutil.copy(checkpoint.path / "tokenizer.json", tmp_path)
    model = load_checkpoint(tmp_path)
    assert (model.engine_name, model.engine.max_positions) == ("transformers", 64)
    ids = random_ids(64)
    np.testing.assert_allclose(
        rows_of(model.engine, ids, 64), rows_of(model.engine, ids, 30), atol=1e-4
    )


def test_an_unknown_architecture(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint.path, tmp_path / "odd")
    config = checkpoint.config | {"model_type": "unheard-of", "architectures": ["Unheard"]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"^transformers cannot load .*odd: .*unheard-of"):
        load_checkpoint(folder)
