"""Write the bundled model as a GGUF file, which llama.cpp and its server read.

    python tools/model/export_gguf.py OUT.gguf

Needs the packages gguf, numpy and safetensors. The weights are written in single precision, which
changes none of them: greedy text is that of hfgen's own server, token for token.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

_BUNDLED = Path(__file__).resolve().parents[2] / "src" / "hfgen" / "server" / "bundled"
_ARCHITECTURE = gguf.MODEL_ARCH.LLAMA


def export(checkpoint: Path, out: Path) -> None:
    """Write the checkpoint in the folder ``checkpoint`` as the file ``out``."""
    config = _read_json(checkpoint / "config.json")
    writer = gguf.GGUFWriter(out, gguf.MODEL_ARCH_NAMES[_ARCHITECTURE])
    add_shape(writer, config)
    add_tokenizer(writer, checkpoint)
    add_tensors(writer, checkpoint, config)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_shape(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    """Add what ``config.json`` says of the architecture."""
    writer.add_name("The storyteller of hfgen")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def add_tokenizer(writer: gguf.GGUFWriter, checkpoint: Path) -> None:
    """Add the byte-level BPE.

    Its pre-tokenizer, ``ByteLevel`` with its own regular expression, is GPT-2's. Merges, the ids of
    the special tokens, and that none is put before a prompt, gguf reads from the folder.
    """
    tokenizer = _read_json(checkpoint / "tokenizer.json")
    vocabulary = tokenizer["model"]["vocab"]
    special = {token["id"] for token in tokenizer["added_tokens"] if token["special"]}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [kinds.CONTROL if vocabulary[token] in special else kinds.NORMAL for token in tokens]
    )
    gguf.SpecialVocab(checkpoint, load_merges=True).add_to_gguf(writer)


def add_tensors(writer: gguf.GGUFWriter, checkpoint: Path, config: dict[str, Any]) -> None:
    """Add the weights in single precision, under GGUF's names."""
    names = gguf.get_tensor_name_map(_ARCHITECTURE, config["num_hidden_layers"])
    heads = {
        "self_attn.q_proj.weight": config["num_attention_heads"],
        "self_attn.k_proj.weight": config["num_key_value_heads"],
    }
    for name, stored in load_file(checkpoint / "model.safetensors").items():
        tensor = stored.astype(np.float32)
        for end, count in heads.items():
            if name.endswith(end):
                tensor = interleave_heads(tensor, count)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), tensor)


def interleave_heads(matrix: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Return queries or keys in the order in which llama.cpp rotates them.

    It rotates neighbours; Hugging Face's Llama the first half of a head with the second.
    """
    halves = matrix.reshape(heads, 2, -1, matrix.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(matrix.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the bundled model as a GGUF file.")
    parser.add_argument("out", type=Path, help="the file that is written")
    options = parser.parse_args()
    export(_BUNDLED, options.out)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


if __name__ == "__main__":
    main()
