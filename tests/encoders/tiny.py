"""A tiny BERT with random weights, as the files of a folder, and what it gives by numpy alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

HIDDEN, WIDE, LAYERS, HEADS = 32, 64, 2, 4
WORDS = "where is my order parcel invoice bill refund money back broken printer password the a i want dov ##e il mio ordine".split()
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *"?!.,'-", *"abcdefghijklmnopqrstuvwxyz0123456789", "##s", "##a"]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "layer_norm_eps": 1e-12,
}
Weights = dict[str, "np.ndarray[Any, Any]"]


def weights(seed: int = 0) -> Weights:
    """Random ones, of the size that trained ones have."""
    chance = np.random.default_rng(seed)
    found: Weights = {
        "embeddings.word_embeddings.weight": chance.normal(0, 0.3, (len(PIECES), HIDDEN)),
        "embeddings.position_embeddings.weight": chance.normal(0, 0.02, (128, HIDDEN)),
        "embeddings.token_type_embeddings.weight": chance.normal(0, 0.02, (2, HIDDEN)),
    }
    _normal(found, "embeddings.LayerNorm")
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}."
        for part in ("query", "key", "value"):
            _dense(found, f"{name}attention.self.{part}", HIDDEN, HIDDEN, chance)
        _dense(found, f"{name}attention.output.dense", HIDDEN, HIDDEN, chance)
        _dense(found, f"{name}intermediate.dense", WIDE, HIDDEN, chance)
        _dense(found, f"{name}output.dense", HIDDEN, WIDE, chance)
        _normal(found, f"{name}attention.output.LayerNorm")
        _normal(found, f"{name}output.LayerNorm")
    return {name: value.astype(np.float32) for name, value in found.items()}


def folder(path: Path, found: Weights | None = None, **config: Any) -> Path:
    """The files of it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    (path / "config.json").write_text(json.dumps({**CONFIG, **config}))
    (path / "model.safetensors").write_bytes(safetensors(found or weights()))
    return path


def safetensors(found: Weights) -> bytes:
    """Their file: a length, a header in JSON, the numbers."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, value in found.items():
        header[name] = {
            "dtype": "F16" if value.dtype == np.float16 else "F32",
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + value.nbytes],
        }
        body += value.tobytes()
    told = json.dumps(header).encode()
    return len(told).to_bytes(8, "little") + told + body


def by_numpy(found: Weights, numbers: list[int], pool: str = "mean") -> np.ndarray[Any, Any]:
    """The vector of some tokens, of length 1, in 32-bit floats."""
    places = found["embeddings.position_embeddings.weight"][: len(numbers)]
    x = found["embeddings.word_embeddings.weight"][numbers] + places
    x = _normed(x + found["embeddings.token_type_embeddings.weight"][0], found, "embeddings.LayerNorm")
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}."
        query, key, value = (_through(x, found, f"{name}attention.self.{p}") for p in ("query", "key", "value"))
        x = _normed(
            _through(_attended(query, key, value), found, f"{name}attention.output.dense") + x,
            found,
            f"{name}attention.output.LayerNorm",
        )
        wide = _through(x, found, f"{name}intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = _normed(_through(wide, found, f"{name}output.dense") + x, found, f"{name}output.LayerNorm")
    vector = x[0] if pool == "cls" else x.mean(axis=0)
    unit: np.ndarray[Any, Any] = vector / np.linalg.norm(vector)
    return unit


def _attended(query: Any, key: Any, value: Any) -> Any:
    size = HIDDEN // HEADS
    parts = []
    for head in range(HEADS):
        own = slice(head * size, (head + 1) * size)
        scores = query[:, own] @ key[:, own].T / math.sqrt(size)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        parts.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, own])
    return np.hstack(parts)


def _through(x: Any, found: Weights, name: str) -> Any:
    return x @ found[f"{name}.weight"].T + found[f"{name}.bias"]


def _normed(x: Any, found: Weights, name: str) -> Any:
    middle, spread = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    return (x - middle) / np.sqrt(spread + 1e-12) * found[f"{name}.weight"] + found[f"{name}.bias"]


def _dense(found: Weights, name: str, rows: int, columns: int, chance: np.random.Generator) -> None:
    found[f"{name}.weight"] = chance.normal(0, 1 / math.sqrt(columns), (rows, columns))
    found[f"{name}.bias"] = chance.normal(0, 0.05, rows)


def _normal(found: Weights, name: str) -> None:
    found[f"{name}.weight"] = np.ones(HIDDEN)
    found[f"{name}.bias"] = np.zeros(HIDDEN)
