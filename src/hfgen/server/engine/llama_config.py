"""Reads the config.json of a Llama, and decides whether NumpyLlama computes it exactly."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# For each setting of config.json or its `rope_parameters`, the values with which NumpyLlama
# computes the same as transformers. A setting that is absent has the first of these values.
_EXACT: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "quantization_config": (None,),
    "partial_rotary_factor": (1.0, None),
    "sliding_window": (None,),
}


class CheckpointError(Exception):
    """A folder cannot be served. The message is one line: the reason and the remedy."""


# No real model comes near these limits. They prevent 32-bit overflows in NumPy before the shapes of
# the tensors are checked.
_Count: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1)]
_Real: TypeAlias = Annotated[float, Meta(ge=1e-30, le=1e30)]


class LlamaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of a Llama; the fields have the names of config.json.

    The defaults are those of transformers' LlamaConfig, for settings that older checkpoints lack.
    `parse_llama_config` computes the two defaults that depend on other fields.
    """

    vocab_size: _Count
    hidden_size: _Count
    intermediate_size: _Count
    num_hidden_layers: _Count
    num_attention_heads: _Count
    num_key_value_heads: _Count
    # Even, since the rotary embedding rotates pairs.
    head_dim: Annotated[int, Meta(ge=2, le=2**31 - 1, multiple_of=2)]
    # At least a prompt of one token and an answer of one token.
    max_position_embeddings: Annotated[int, Meta(ge=2, le=2**31 - 1)] = 2048
    rms_norm_eps: _Real = 1e-6
    rope_theta: _Real = 10000.0
    tie_word_embeddings: bool = False

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of"
                f" num_key_value_heads {self.num_key_value_heads}"
            )

    @property
    def parameters(self) -> int:
        """How many weights the model has, without those of the norms."""
        heads = 2 * (self.num_attention_heads + self.num_key_value_heads)
        layer = self.hidden_size * (heads * self.head_dim + 3 * self.intermediate_size)
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return self.num_hidden_layers * layer + embeddings


def read_json(folder: Path, name: str, *, optional: bool = False) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        CheckpointError: The file is not a JSON object, or is missing and not optional.
    """
    file = folder / name
    try:
        value = json.loads(file.read_bytes())
    except FileNotFoundError:
        if optional:
            return {}
        raise CheckpointError(
            f"{folder} has no {name}; give the folder of a checkpoint as the Hub holds it"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read: {one_line(error)}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{file} is not a JSON object; fetch it again")
    return value


def find_unsupported_setting(folder: Path, config: Mapping[str, Any]) -> str | None:
    """Return a setting that NumpyLlama cannot compute, with its value, or None if there is none.

    Raises:
        CheckpointError: The config is that of a Llama, but malformed.
    """
    model_type = config.get("model_type")
    if model_type != "llama":
        return f"model_type {model_type!r}"
    rope = _rope_settings(folder, config)
    settings = {**config, **rope}
    for key, allowed in _EXACT.items():
        value = settings.get(key, allowed[0])
        if value not in allowed:
            return f"{key} {value!r}" if isinstance(value, str | float | None) else key
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    return None if rope_type == "default" else f"rope_scaling {rope_type!r}"


def _rope_settings(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `rope_parameters`, as transformers 5 names them, or `rope_scaling` before that."""
    for name in ("rope_parameters", "rope_scaling"):
        if value := config.get(name):
            if not isinstance(value, dict):
                raise _config_error(
                    folder, f"{name}: Expected `object`, got `{type(value).__name__}`"
                )
            return value
    return {}


def parse_llama_config(folder: Path, config: Mapping[str, Any]) -> LlamaConfig:
    """Return the shape that a config.json describes; a null counts as absent.

    Raises:
        CheckpointError: A setting is missing, has another type, or is out of bounds.
    """
    settings = {**config, **_rope_settings(folder, config)}
    settings = {key: value for key, value in settings.items() if value is not None}
    heads, hidden = settings.get("num_attention_heads"), settings.get("hidden_size")
    # If one of these two is not a positive integer, the conversion below reports it.
    if isinstance(heads, int) and isinstance(hidden, int) and heads > 0:
        settings.setdefault("num_key_value_heads", heads)
        settings.setdefault("head_dim", hidden // heads)
    try:
        return msgspec.convert(settings, LlamaConfig)
    except msgspec.ValidationError as error:
        raise _config_error(folder, _describe(error)) from error


_MISSING = re.compile("Object missing required field `(.*)`")
_PLACE = re.compile(r"(?P<problem>.*) - at `\$\.(?P<place>.*)`")


def _describe(error: msgspec.ValidationError) -> str:
    """Return msgspec's message with the name of the setting first."""
    text = one_line(error)
    if match := _MISSING.fullmatch(text):
        return f"no {match[1]}"
    if match := _PLACE.fullmatch(text):
        return f"{match['place']}: {match['problem']}"
    return text


def _config_error(folder: Path, problem: str) -> CheckpointError:
    has = "has" if problem.startswith("no ") else "is not that of a Llama:"
    return CheckpointError(
        f"{folder / 'config.json'} {has} {problem};"
        " fetch it again from where the checkpoint came from"
    )


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())
