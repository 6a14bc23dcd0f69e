"""The bundled checkpoint is complete, and its files agree with each other."""

import json
from importlib import resources

import pytest
from safetensors import safe_open
from tokenizers import Tokenizer

FOLDER = resources.files("hfgen.server") / "bundled"
FILES = (
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
END_OF_TEXT = "<|endoftext|>"


@pytest.fixture(scope="module")
def config():
    return json.loads((FOLDER / "config.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_str((FOLDER / "tokenizer.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def tensors():
    with safe_open(str(FOLDER / "model.safetensors"), framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_files_are_there_and_small():
    sizes = {entry.name: len(entry.read_bytes()) for entry in FOLDER.iterdir() if entry.is_file()}
    assert set(FILES) <= set(sizes)
    assert sum(sizes.values()) <= 3_000_000


class TestConfig:
    def test_architecture(self, config):
        assert config["architectures"] == ["LlamaForCausalLM"]
        assert config["model_type"] == "llama"

    def test_shapes_are_those_of_the_tensors(self, config, tensors):
        width, inner = config["hidden_size"], config["intermediate_size"]
        heads = config["num_attention_heads"] * config["head_dim"]
        keys = config["num_key_value_heads"] * config["head_dim"]
        expected = {
            "model.embed_tokens.weight": (config["vocab_size"], width),
            "model.norm.weight": (width,),
        }
        for layer in range(config["num_hidden_layers"]):
            shapes = {
                "input_layernorm": (width,),
                "post_attention_layernorm": (width,),
                "self_attn.q_proj": (heads, width),
                "self_attn.k_proj": (keys, width),
                "self_attn.v_proj": (keys, width),
                "self_attn.o_proj": (width, heads),
                "mlp.gate_proj": (inner, width),
                "mlp.up_proj": (inner, width),
                "mlp.down_proj": (width, inner),
            }
            expected |= {f"model.layers.{layer}.{n}.weight": s for n, s in shapes.items()}
        assert {name: tensor.shape for name, tensor in tensors.items()} == expected
        assert config["tie_word_embeddings"]

    def test_weights_are_finite_and_in_half_precision(self, config, tensors):
        assert {str(tensor.dtype) for tensor in tensors.values()} == {config["torch_dtype"]}
        assert all(abs(tensor).max() < 1000 for tensor in tensors.values())

    def test_files_agree_on_the_special_token(self, config, tokenizer):
        generation = json.loads((FOLDER / "generation_config.json").read_text("utf-8"))
        names = json.loads((FOLDER / "tokenizer_config.json").read_text("utf-8"))
        assert tokenizer.token_to_id(END_OF_TEXT) == 0
        for settings in (config, generation):
            assert settings["bos_token_id"] == settings["eos_token_id"] == 0
        assert names["bos_token"] == names["eos_token"] == END_OF_TEXT
        assert names["model_max_length"] == config["max_position_embeddings"]


class TestTokenizer:
    def test_size(self, config, tokenizer):
        assert tokenizer.get_vocab_size() == config["vocab_size"]

    @pytest.mark.parametrize(
        "text",
        [
            "Once upon a time, there was a fox named Ruby.",
            " leading and trailing \n\n\t white  space ",
            "a fox \N{FOX FACE} and a family \N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}",
            "\u0643\u0627\u0646, \u6614\u6614, \u090f\u0915 \u092c\u093e\u0930",
            '{"name": "Ruby", "friends": []}',
            "",
        ],
    )
    def test_text_comes_back(self, tokenizer, text):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text

    def test_nothing_is_added_to_a_prompt(self, tokenizer):
        ids = tokenizer.encode("Once upon a time").ids
        assert 0 not in ids
        assert ids == tokenizer.encode("Once upon a time", add_special_tokens=False).ids

    def test_end_of_text_is_one_token(self, tokenizer):
        assert tokenizer.encode(END_OF_TEXT).ids == [0]
        assert tokenizer.decode([0], skip_special_tokens=True) == ""


def test_card_has_front_matter():
    _, front, body = (FOLDER / "README.md").read_text("utf-8").split("---\n", 2)
    assert "license: apache-2.0\n" in front
    assert "pipeline_tag: text-generation\n" in front
    assert body.strip()
