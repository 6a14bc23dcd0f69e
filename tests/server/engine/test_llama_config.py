from __future__ import annotations

import json
import shutil

import pytest

from hfgen.server.engine.checkpoint import CheckpointError, load_checkpoint


@pytest.fixture
def config_problem(checkpoint, tmp_path):
    """Return the problem that is reported for a checkpoint with a changed config.json."""

    def config_problem(**changes):
        folder = shutil.copytree(checkpoint.path, tmp_path / "model")
        config = checkpoint.config | changes
        remaining = {key: value for key, value in config.items() if value != "left out"}
        (folder / "config.json").write_text(json.dumps(remaining))
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(folder)
        text = str(caught.value)
        assert "\n" not in text
        return text.removeprefix(f"{folder / 'config.json'} ")

    return config_problem


AGAIN = "; fetch it again from where the checkpoint came from"


@pytest.mark.parametrize("value", ["left out", None])
@pytest.mark.parametrize(
    "name",
    ["vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers"],
)
def test_a_config_without_a_shape(config_problem, name, value):
    assert config_problem(**{name: value}) == f"has no {name}{AGAIN}"


@pytest.mark.parametrize("name", ["hidden_size", "num_attention_heads"])
def test_a_missing_field_is_reported_before_the_defaults_made_from_it(config_problem, name):
    changes = {"num_key_value_heads": "left out", "head_dim": "left out", name: "left out"}
    assert config_problem(**changes) == f"has no {name}{AGAIN}"


UNFIT = [
    ({"num_attention_heads": "4"}, "num_attention_heads: Expected `int`, got `str`"),
    ({"num_attention_heads": "4", "head_dim": "left out"}, "num_attention_heads: Expected `int`"),
    (
        {"num_attention_heads": 0, "head_dim": "left out"},
        "num_attention_heads: Expected `int` >= 1",
    ),
    ({"num_attention_heads": True}, "num_attention_heads: Expected `int`, got `bool`"),
    ({"num_hidden_layers": 2.5}, "num_hidden_layers: Expected `int`, got `float`"),
    ({"num_hidden_layers": 0}, "num_hidden_layers: Expected `int` >= 1"),
    ({"num_hidden_layers": 10**40}, "num_hidden_layers: Expected `int` <= 2147483647"),
    ({"vocab_size": -300}, "vocab_size: Expected `int` >= 1"),
    ({"hidden_size": [32]}, "hidden_size: Expected `int`, got `array`"),
    ({"hidden_size": 3, "head_dim": None}, "head_dim: Expected `int` >= 2"),
    ({"head_dim": 11}, "head_dim: Expected `int` that's a multiple of 2"),
    (
        {"num_key_value_heads": 3},
        "num_attention_heads 4 is not a multiple of num_key_value_heads 3",
    ),
    ({"max_position_embeddings": 0}, "max_position_embeddings: Expected `int` >= 2"),
    ({"max_position_embeddings": 1}, "max_position_embeddings: Expected `int` >= 2"),
    ({"rope_theta": 0}, "rope_theta: Expected `float` >= 1e-30"),
    ({"rope_theta": -10000.0}, "rope_theta: Expected `float` >= 1e-30"),
    ({"rope_theta": float("nan")}, "rope_theta: Expected `float` >= 1e-30"),
    ({"rope_theta": float("inf")}, "rope_theta: Expected `float` <= 1e+30"),
    ({"rope_parameters": {"rope_theta": "10000"}}, "rope_theta: Expected `float`, got `str`"),
    ({"rms_norm_eps": -1}, "rms_norm_eps: Expected `float` >= 1e-30"),
    ({"tie_word_embeddings": "true"}, "tie_word_embeddings: Expected `bool`, got `str`"),
    ({"rope_parameters": "default"}, "rope_parameters: Expected `object`, got `str`"),
    ({"rope_scaling": ["linear", 2]}, "rope_scaling: Expected `object`, got `list`"),
]


@pytest.mark.parametrize(("changes", "words"), UNFIT)
def test_a_config_that_no_llama_has(config_problem, changes, words):
    text = config_problem(**changes)
    assert text.startswith(f"is not that of a Llama: {words}")
    assert text.endswith(AGAIN)
