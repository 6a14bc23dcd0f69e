"""Loads a checkpoint folder as the Hub stores it, and chooses the engine that can serve it.

Nothing is downloaded. A `CheckpointError` describes a problem in one line, with its remedy.
"""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from hfgen.server.engine.llama_config import (
    CheckpointError,
    find_unsupported_setting,
    one_line,
    parse_llama_config,
    read_json,
)
from hfgen.server.engine.numpy_llama import NumpyLlama

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hfgen.server.engine.interface import Engine

__all__ = ["BUNDLED", "CheckpointError", "Model", "load_checkpoint"]

BUNDLED = Path(__file__).parents[1] / "bundled"

_INSTALL = "pip install 'hfgen[transformers]'"

# From this many parameters on, torch's threads outweigh the time that importing torch takes.
_LARGE = 200_000_000

# The NumPy type for each type of safetensors. NumPy has no bfloat16, which is the upper half of a
# float32, so it is read as an integer.
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A checkpoint, ready to generate.

    `name` is "owner/model" where the folder is a snapshot in the Hub's cache, and the name of the
    folder elsewhere. `engine_name` is "numpy" or "transformers".
    """

    name: str
    path: Path
    engine_name: str
    engine: Engine
    tokenizer: Tokenizer
    eos_ids: frozenset[int]


def load_checkpoint(path: str | Path) -> Model:
    """Read a checkpoint folder.

    A Llama that NumPy computes exactly is served by NumPy, unless it is large and transformers
    is installed; anything else is served by transformers.

    Args:
        path: A folder with config.json, tokenizer.json and safetensors files.

    Raises:
        CheckpointError: The folder is incomplete or damaged, or needs what is not installed.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a directory; give the folder of a checkpoint")
    config = read_json(folder, "config.json")
    tokenizer = _load_tokenizer(folder)
    reason = find_unsupported_setting(folder, config)
    if reason is None:
        shape = parse_llama_config(folder, config)
        if shape.parameters > _LARGE and _has_transformers():
            reason = "its size"
    engine: Engine
    if reason is None:
        engine, engine_name = NumpyLlama(shape, _open_tensors(folder)), "numpy"
    else:
        engine, engine_name = _load_with_transformers(folder, reason), "transformers"
    return Model(
        name=_find_model_name(folder),
        path=folder,
        engine_name=engine_name,
        engine=engine,
        tokenizer=tokenizer,
        eos_ids=_read_eos_ids(folder, config),
    )


def _find_model_name(folder: Path) -> str:
    """Return "owner/model" for a folder of the Hub's cache, else the folder's name.

    Folders of the cache are called models--owner--name/snapshots/revision.
    """
    folder = folder.resolve()
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/")
    return folder.name


def _load_tokenizer(folder: Path) -> Tokenizer:
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise CheckpointError(
            f"{folder} has no tokenizer.json; make one with transformers: "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises the bare class
        raise CheckpointError(f"{file} cannot be read: {one_line(error)}") from error
    # Remove training settings that would truncate or pad the prompts of users.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _read_eos_ids(folder: Path, config: Mapping[str, Any]) -> frozenset[int]:
    """Return the end tokens of generation_config.json, or of config.json where it names none.

    Either file may have a number or a list.
    """
    generation = read_json(folder, "generation_config.json", optional=True)
    value = generation.get("eos_token_id")
    if value is None:
        value = config.get("eos_token_id")
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(i, int) for i in ids):
        raise CheckpointError(f"{folder} has an eos_token_id that is not a number: {value!r}")
    return frozenset(ids)


def _has_transformers() -> bool:
    return all(importlib.util.find_spec(name) for name in ("torch", "transformers"))


def _load_with_transformers(folder: Path, reason: str) -> Engine:
    if not _has_transformers():
        raise CheckpointError(f"{folder}: {reason} needs hfgen[transformers]: {_INSTALL}")
    from hfgen.server.engine.transformers import TransformersEngine  # noqa: PLC0415 - torch is slow

    try:
        return TransformersEngine(folder)
    except Exception as error:  # whatever the architecture's own code raises
        raise CheckpointError(f"transformers cannot load {folder}: {one_line(error)}") from error


def _open_tensors(folder: Path) -> Callable[[str, tuple[int, ...]], npt.NDArray[np.float32]]:
    """Return a function that reads a tensor by name from the folder's safetensors files."""
    index = "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        files = [folder / "model.safetensors"]
    elif (folder / index).is_file():
        file_names = read_json(folder, index).get("weight_map")
        if not isinstance(file_names, dict):
            raise CheckpointError(f"{folder / index} has no weight_map; fetch it again")
        if not all(isinstance(name, str) for name in file_names.values()):
            raise CheckpointError(
                f"{folder / index} has a weight_map that names no files; fetch it again"
            )
        files = [folder / name for name in sorted(set(file_names.values()))]
    else:
        raise CheckpointError(
            f"{folder} has no model.safetensors; convert older weights with transformers: "
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)"
        )
    headers = [(file, *_read_header(file)) for file in files]

    def read_tensor(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        for file, start, entries in headers:
            if name in entries:
                return _read_tensor(file, start, name, entries[name], shape)
        source = files[0] if len(files) == 1 else folder / index
        raise CheckpointError(
            f"{source} has no tensor {name!r}; the weights do not belong to this config.json"
        )

    return read_tensor


def _read_header(file: Path) -> tuple[int, dict[str, Any]]:
    """Read where the tensors of a file begin, and its table of tensors.

    The safetensors library opens the file first, to check that it is complete.
    """
    try:
        with safe_open(file, framework="np"):
            pass
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            return 8 + length, json.loads(stream.read(length))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{file.parent} has no {file.name}, which the index names; fetch it again"
        ) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{file} is damaged or cut short: {one_line(error)}; fetch it again"
        ) from error


def _read_tensor(
    file: Path, start: int, name: str, entry: Mapping[str, Any], shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Read one tensor as float32.

    This does not use the reader of the safetensors library, which has no bfloat16 for NumPy.
    """
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise _wrong_tensor_error(
            file, name, f"the type {entry['dtype']}", f"one of {', '.join(_DTYPES)}"
        )
    if tuple(entry["shape"]) != shape:
        raise _wrong_tensor_error(
            file, name, f"the shape {entry['shape']}", f"{list(shape)} as in config.json"
        )
    offset = start + entry["data_offsets"][0]
    raw = np.fromfile(file, dtype, count=math.prod(shape), offset=offset).reshape(shape)
    if entry["dtype"] == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32)


def _wrong_tensor_error(file: Path, name: str, actual: str, expected: str) -> CheckpointError:
    return CheckpointError(f"{file}: tensor {name!r} has {actual}; wanted {expected}")
