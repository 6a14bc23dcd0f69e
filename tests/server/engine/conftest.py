"""Checkpoints of a few kilobytes, written from nothing, and jobs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from hfgen.server.engine.checkpoint import BUNDLED, Model, load_checkpoint
from hfgen.server.engine.jobs import Job, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXTS = [
    "Once upon a time there was a small brave fox who liked to sing in the old forest.",
    "The fox and the owl went to the river, and the owl said: look, the moon!",
]


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    config: dict[str, Any]
    weights: dict[str, np.ndarray]


def byte_level_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=299,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens([AddedToken("<|user|>", special=False)])
    return tokenizer


def encode_tensor(array: np.ndarray, dtype: str) -> tuple[bytes, np.ndarray]:
    """Return an array as the bytes of a safetensors type, and the numbers after rounding."""
    if dtype == "BF16":
        upper = (array.view(np.uint32) >> 16).astype("<u2")
        return upper.tobytes(), (upper.astype(np.uint32) << 16).view(np.float32)
    rounded = array.astype({"F32": "<f4", "F16": "<f2", "F64": "<f8"}[dtype])
    return rounded.tobytes(), rounded.astype(np.float32)


def write_safetensors(file: Path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    shapes_by_name = {"model.embed_tokens": (config["vocab_size"], hidden), "model.norm": (hidden,)}
    if not config["tie_word_embeddings"]:
        shapes_by_name["lm_head"] = shapes_by_name["model.embed_tokens"]
    for i in range(config["num_hidden_layers"]):
        layer = {
            "self_attn.q_proj": (queries, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
            "self_attn.o_proj": (hidden, queries),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
        }
        shapes_by_name |= {f"model.layers.{i}.{name}": shape for name, shape in layer.items()}
    return {f"{name}.weight": shape for name, shape in shapes_by_name.items()}


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory) -> Callable[..., Checkpoint]:
    """Write a Llama with random weights; keywords change its config.json."""

    def make(
        *, dtype: str = "F32", shards: int = 1, generation: Any = None, **changes: Any
    ) -> Checkpoint:
        folder = tmp_path_factory.mktemp("checkpoint")
        tokenizer = byte_level_tokenizer()
        tokenizer.save(str(folder / "tokenizer.json"))
        config = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": tokenizer.get_vocab_size(),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 12,
            "max_position_embeddings": 160,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "eos_token_id": 0,
        } | changes
        (folder / "config.json").write_text(json.dumps(config))
        if generation is not None:
            (folder / "generation_config.json").write_text(json.dumps(generation))
        random = np.random.default_rng(7)
        weights, tensors = {}, {}
        for name, shape in shapes(config).items():
            array = random.standard_normal(shape).astype(np.float32)
            array = 1 + array * 0.1 if len(shape) == 1 else array * (1.5 / shape[-1] ** 0.5)
            raw, weights[name] = encode_tensor(array.astype(np.float32), dtype)
            tensors[name] = (dtype, shape, raw)
        if shards == 1:
            write_safetensors(folder / "model.safetensors", tensors)
        else:
            file_names = {}
            for i in range(shards):
                file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
                part = dict(list(tensors.items())[i::shards])
                write_safetensors(folder / file, part)
                file_names |= dict.fromkeys(part, file)
            index = {"metadata": {}, "weight_map": file_names}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return Checkpoint(folder, config, weights)

    return make


@pytest.fixture(scope="session")
def checkpoint(make_checkpoint) -> Checkpoint:
    return make_checkpoint()


@pytest.fixture(scope="session")
def model(checkpoint) -> Model:
    return load_checkpoint(checkpoint.path)


@pytest.fixture(scope="session")
def bundled() -> Model:
    return load_checkpoint(BUNDLED)


@pytest.fixture
def job() -> Callable[..., Job]:
    """A job; keywords are those of `Job` and of `Sampling`."""

    def make(*input_ids: int, max_new_tokens: int = 5, **options: Any) -> Job:
        job_fields = {"stop", "top_n_tokens", "prefill_logprobs"} & options.keys()
        job_options = {name: options.pop(name) for name in job_fields}
        sampling = Sampling(**({"seed": 0} | options))
        return Job(
            input_ids=input_ids, sampling=sampling, max_new_tokens=max_new_tokens, **job_options
        )

    return make
