from __future__ import annotations

import importlib.util
import json
import os
import pickle
import shutil
import sys
from types import ModuleType

import numpy as np
import pytest

from hfgen.server.engine.checkpoint import CheckpointError, load_checkpoint
from hfgen.server.engine.numpy_llama import NumpyLlama


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy of the checkpoint, for tests that damage it."""
    return shutil.copytree(checkpoint.path, tmp_path / "model")


@pytest.fixture
def without_transformers(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)


@pytest.fixture
def with_transformers(monkeypatch):
    """A substitute for transformers, whose engine only stores its folder."""

    class TransformersEngine:
        def __init__(self, folder):
            if (folder / "bad").exists():
                raise OSError("no such\narchitecture")
            self.folder = folder

    module = ModuleType("hfgen.server.engine.transformers")
    module.TransformersEngine = TransformersEngine
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)


def edit(folder, name="config.json", **changes):
    config = json.loads((folder / name).read_text()) | changes
    remaining = {key: value for key, value in config.items() if value != "left out"}
    (folder / name).write_text(json.dumps(remaining))


def message(folder):
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_llama_is_served_by_numpy(checkpoint):
    model = load_checkpoint(str(checkpoint.path))
    assert isinstance(model.engine, NumpyLlama)
    assert model.engine_name == "numpy"
    assert model.path == checkpoint.path
    assert model.name == checkpoint.path.name
    assert model.eos_ids == {0}
    assert model.engine.vocab_size == model.tokenizer.get_vocab_size()
    assert model.engine.max_positions == 160


def test_the_name_of_a_snapshot_in_the_cache_of_the_hub(checkpoint, tmp_path):
    snapshot = tmp_path / "models--some--small-llama" / "snapshots" / "0123abc"
    shutil.copytree(checkpoint.path, snapshot)
    assert load_checkpoint(snapshot).name == "some/small-llama"


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_goes_by_the_name_of_its_folder(checkpoint, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(checkpoint.path)
    assert load_checkpoint(link).name == checkpoint.path.name


@pytest.mark.parametrize(
    ("generation", "config", "expected"),
    [
        (None, 7, {7}),
        ({"eos_token_id": 3}, 7, {3}),
        ({"eos_token_id": [3, 4]}, 7, {3, 4}),
        ({"eos_token_id": None}, [5], {5}),
        ({}, None, set()),
    ],
)
def test_end_tokens(make_checkpoint, generation, config, expected):
    checkpoint = make_checkpoint(generation=generation, eos_token_id=config)
    assert load_checkpoint(checkpoint.path).eos_ids == expected


def test_a_config_that_leaves_out_what_has_a_default(make_checkpoint):
    checkpoint = make_checkpoint(num_key_value_heads=4, head_dim=8)
    expected = load_checkpoint(checkpoint.path).engine._config
    edit(checkpoint.path, num_key_value_heads="left out", head_dim="left out", rope_theta=None)
    edit(checkpoint.path, rope_parameters={"rope_type": "default", "rope_theta": 1000.0})
    edit(checkpoint.path, tie_word_embeddings="left out", max_position_embeddings="left out")
    engine = load_checkpoint(checkpoint.path).engine
    assert engine.max_positions == 2048
    assert engine._config.num_key_value_heads == expected.num_key_value_heads
    assert (engine._config.head_dim, engine._config.rope_theta) == (8, 1000.0)


def test_shards_are_one_checkpoint(make_checkpoint):
    whole, sharded = make_checkpoint(), make_checkpoint(shards=3)
    rows = [
        engine.extend(engine.open(), [1, 2, 3])
        for engine in (load_checkpoint(checkpoint.path).engine for checkpoint in (whole, sharded))
    ]
    np.testing.assert_array_equal(*rows)


def test_truncation_and_padding_of_the_training_are_off(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["truncation"] = {
        "direction": "Right",
        "max_length": 3,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert len(load_checkpoint(folder).tokenizer.encode("Once upon a time").ids) > 3


def test_no_folder(tmp_path):
    assert "nowhere is not a directory; give the folder" in message(tmp_path / "nowhere")


def test_the_error_pickles():
    error = pickle.loads(pickle.dumps(CheckpointError("a line")))
    assert (type(error), str(error)) == (CheckpointError, "a line")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("config.json", "has no config.json; give the folder of a checkpoint"),
        ("tokenizer.json", "has no tokenizer.json; make one with transformers"),
        ("model.safetensors", "has no model.safetensors; convert older weights"),
    ],
)
def test_a_file_that_is_missing(folder, name, expected):
    (folder / name).unlink()
    assert expected in message(folder)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("config.json", "{", "config.json cannot be read: Expecting property name"),
        ("config.json", "[]", "config.json is not a JSON object; fetch it again"),
        ("config.json", "\xff", "config.json cannot be read: "),
        ("config.json", '{"x": ' + "[" * 100_000, "config.json cannot be read: maximum recursion"),
        ("generation_config.json", "[" * 100_000, "generation_config.json cannot be read: "),
        ("generation_config.json", "}", "generation_config.json cannot be read: "),
        (
            "generation_config.json",
            '{"eos_token_id": ["</s>"]}',
            "has an eos_token_id that is not a number: ['</s>']",
        ),
        ("tokenizer.json", '{"version": 1}', "tokenizer.json cannot be read: "),
        ("model.safetensors", "", "model.safetensors is damaged or cut short: "),
        ("model.safetensors", "version https://git-lfs", "damaged or cut short: "),
    ],
)
def test_a_file_that_is_damaged(folder, name, content, expected):
    (folder / name).write_bytes(content.encode("latin-1"))
    assert expected in message(folder)


@pytest.mark.parametrize("length", [4, 100, 5000])
def test_weights_that_are_cut_short(folder, length):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    text = message(folder)
    assert "model.safetensors is damaged or cut short: " in text
    assert text.endswith("; fetch it again")


def test_a_shard_that_is_missing(make_checkpoint):
    checkpoint = make_checkpoint(shards=2)
    (checkpoint.path / "model-00002-of-00002.safetensors").unlink()
    assert "has no model-00002-of-00002.safetensors, which the index names" in message(
        checkpoint.path
    )


def test_an_index_without_a_map(make_checkpoint):
    checkpoint = make_checkpoint(shards=2)
    edit(checkpoint.path, "model.safetensors.index.json", weight_map="left out")
    assert "index.json has no weight_map; fetch it again" in message(checkpoint.path)


def test_a_tensor_that_is_missing(folder):
    edit(folder, num_hidden_layers=3)
    text = message(folder)
    assert "has no tensor 'model.layers.2.self_attn.q_proj.weight'" in text
    assert text.endswith("the weights do not belong to this config.json")


def test_a_tensor_of_another_shape(folder):
    edit(folder, vocab_size=10)
    assert (
        "tensor 'model.embed_tokens.weight' has the shape [300, 32]; wanted [10, 32] as in "
        "config.json"
    ) in message(folder)


def test_a_tensor_of_a_type_that_is_not_read(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes().replace(b'"F32"', b'"I32"'))
    assert "has the type I32; wanted one of F64, F32, F16, BF16" in message(folder)


@pytest.mark.parametrize("name", [1, None, ["model.safetensors"], {}])
def test_an_index_that_names_no_files(make_checkpoint, name):
    checkpoint = make_checkpoint(shards=2)
    edit(
        checkpoint.path,
        "model.safetensors.index.json",
        weight_map={"a": "a.safetensors", "b": name},
    )
    assert "index.json has a weight_map that names no files; fetch it again" in message(
        checkpoint.path
    )


UNSUPPORTED = [
    ({"model_type": "gpt2"}, "model_type 'gpt2'"),
    ({"model_type": "left out"}, "model_type None"),
    ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
    ({"attention_bias": True}, "attention_bias"),
    ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling 'llama3'"),
    ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling 'linear'"),
    ({"rope_parameters": {"rope_type": "yarn"}}, "rope_scaling 'yarn'"),
    ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor 0.5"),
]


@pytest.mark.parametrize(("changes", "reason"), UNSUPPORTED)
def test_what_needs_transformers(folder, without_transformers, changes, reason):
    edit(folder, **changes)
    expected = f"{folder}: {reason} needs hfgen[transformers]: pip install 'hfgen[transformers]'"
    assert message(folder) == expected


@pytest.mark.parametrize(("changes", "reason"), UNSUPPORTED)
def test_what_transformers_serves(folder, with_transformers, changes, reason):
    edit(folder, **changes)
    model = load_checkpoint(folder)
    assert (model.engine_name, model.engine.folder) == ("transformers", folder)


def test_what_transformers_refuses(folder, with_transformers):
    edit(folder, model_type="unheard-of")
    (folder / "bad").touch()
    assert message(folder) == f"transformers cannot load {folder}: no such architecture"


@pytest.mark.parametrize(("limit", "engine"), [(10**4, "transformers"), (10**6, "numpy")])
def test_a_large_llama_goes_to_transformers(folder, with_transformers, monkeypatch, limit, engine):
    monkeypatch.setattr("hfgen.server.engine.checkpoint._LARGE", limit)
    assert load_checkpoint(folder).engine_name == engine


def test_a_large_llama_without_transformers(folder, without_transformers, monkeypatch):
    monkeypatch.setattr("hfgen.server.engine.checkpoint._LARGE", 0)
    assert load_checkpoint(folder).engine_name == "numpy"


def test_parameters_are_counted(make_checkpoint):
    for tied in (True, False):
        checkpoint = make_checkpoint(tie_word_embeddings=tied)
        norms = sum(array.size for array in checkpoint.weights.values() if array.ndim == 1)
        total = sum(array.size for array in checkpoint.weights.values())
        assert load_checkpoint(checkpoint.path).engine._config.parameters == total - norms


def test_the_bundled_model_is_light(bundled):
    assert bundled.engine_name == "numpy"
    assert bundled.engine._config.parameters < 3_000_000
    assert bundled.eos_ids
    assert bundled.engine.vocab_size == bundled.tokenizer.get_vocab_size()
