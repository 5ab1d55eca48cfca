"""The tiny model as a folder of Hugging Face's form, for servers that load such: the same weights as in the GGUF file."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.real import tiny_model as tiny
from tests.real.tiny_model import Array, TinyModel

_TOP: Final = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER: Final = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def make_folder(model: TinyModel, folder: Path) -> Path:
    """Write the model into ``folder``, which is made; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny.train_tokenizer()
    vocabulary = tokenizer.get_vocab()
    tensors = {_name(name): tensor for name, tensor in tiny.weights(model, vocabulary)}
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_tensors(folder / "model.safetensors", tensors)
    _write(folder / "model.safetensors.index.json", {"weight_map": dict.fromkeys(tensors, "model.safetensors")})
    _write(folder / "config.json", _config(vocabulary))
    _write(
        folder / "generation_config.json",
        {"eos_token_id": [vocabulary[tiny.END]], "pad_token_id": vocabulary[tiny.PAD]},
    )
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": tiny.END, "pad_token": tiny.PAD}
    _write(folder / "tokenizer_config.json", {**about, "chat_template": tiny.CHAT_TEMPLATE})
    return folder


def make_cached(model: TinyModel, home: Path, name: str) -> None:
    """Write the model where the Hugging Face library keeps what it has downloaded, so that it is found by its name."""
    place = home / "hub" / f"models--{name.replace('/', '--')}"
    make_folder(model, place / "snapshots" / "0")
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / "main").write_text("0")


def _name(gguf: str) -> str:
    if gguf in _TOP:
        return _TOP[gguf]
    _, layer, name, kind = gguf.split(".")
    return f"model.layers.{layer}.{_LAYER[name]}.{kind}"


def _config(vocabulary: Mapping[str, int]) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": False,
        "vocab_size": tiny.VOCABULARY,
        "hidden_size": tiny.HIDDEN,
        "intermediate_size": tiny.FEED_FORWARD,
        "num_hidden_layers": tiny.LAYERS,
        "num_attention_heads": tiny.HEADS,
        "num_key_value_heads": tiny.KEY_VALUE_HEADS,
        "head_dim": tiny.HEAD_SIZE,
        "hidden_act": "silu",
        "max_position_embeddings": tiny.CONTEXT,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "bos_token_id": vocabulary[tiny.PAD],
        "eos_token_id": vocabulary[tiny.END],
    }


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _write_tensors(path: Path, tensors: Mapping[str, Array]) -> None:
    """The safetensors form: the length of a JSON header, the header, then the numbers one after the other."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.writelines(tensor.tobytes() for tensor in tensors.values())
