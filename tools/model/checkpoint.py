"""Writing and reading an ordinary Hugging Face checkpoint."""

import json
from pathlib import Path
from typing import Any

import torch
from corpus import END_ID
from llama import Llama, Shape
from safetensors.torch import load_file, save_file
from stories import END_OF_TEXT
from tokenizers import Tokenizer

# Hugging Face keeps the bare model below this name; the output matrix, tied, is not stored.
_PREFIX = "model."


def make_model_config(shape: Shape) -> dict[str, Any]:
    """Return what ``config.json`` holds."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "hidden_size": shape.width,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_width,
        "hidden_act": "silu",
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": END_ID,
        "eos_token_id": END_ID,
        "torch_dtype": "float16",
    }


def make_tokenizer_config(shape: Shape) -> dict[str, Any]:
    """Return what ``tokenizer_config.json`` holds."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": shape.context,
    }


def save_checkpoint(folder: Path, model: Llama, tokenizer: Tokenizer) -> None:
    """Write the model in half precision, its tokenizer and their settings to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        _PREFIX + name: tensor.detach().half().contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    _write_json(folder / "config.json", make_model_config(model.shape))
    _write_json(folder / "tokenizer_config.json", make_tokenizer_config(model.shape))
    _write_json(
        folder / "generation_config.json",
        {"bos_token_id": END_ID, "eos_token_id": END_ID, "pad_token_id": END_ID},
    )


def load_checkpoint(folder: Path) -> tuple[Llama, Tokenizer]:
    """Read what :func:`save_checkpoint` wrote; the weights become single precision."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    shape = Shape(
        vocabulary=config["vocab_size"],
        context=config["max_position_embeddings"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        feed_forward=config["intermediate_size"],
        rope_theta=config["rope_theta"],
        norm_eps=config["rms_norm_eps"],
    )
    model = Llama(shape)
    state = load_file(folder / "model.safetensors")
    model.load_state_dict({name.removeprefix(_PREFIX): t.float() for name, t in state.items()})
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))


@torch.no_grad()
def compute_mean_loss(model: Llama, windows: torch.Tensor) -> float:
    """Return the mean loss over all ``windows``, in nats a token."""
    chunks = windows.split(16)
    total = sum(model.loss(chunk).item() * len(chunk) for chunk in chunks)
    return total / len(windows)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
