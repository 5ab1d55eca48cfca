"""The model catalogue is complete, and its numbers agree with each other."""

from __future__ import annotations

import json
import re
from datetime import date
from importlib.resources import files
from typing import Any

import pytest

Row = dict[str, Any]

CATALOGUE: dict[str, Any] = json.loads(
    files("orchestrator.manifest").joinpath("catalogue", "models.json").read_text(encoding="utf-8")
)
ROWS: list[Row] = CATALOGUE["models"]
SOURCES: dict[str, str] = CATALOGUE["sources"]

REQUIRED = frozenset(
    {
        "alias",
        "aliases",
        "kind",
        "family",
        "parameters",
        "layers",
        "kv_heads",
        "head_dim",
        "context_length",
        "tasks",
        "tools",
        "latency_class",
        "licence",
        "ids",
        "sizes",
        "estimated",
        "source",
        "recalled",
        "date",
    }
)
OPTIONAL = frozenset(
    {"stored_parameters", "vision_parameters", "dimensions", "served_as", "ollama_untagged", "kv_note", "note"}
)
TASKS = frozenset(
    {
        "conversation",
        "reasoning",
        "routing",
        "classification",
        "coding",
        "summarization",
        "extraction",
        "tools",
        "embedding",
    }
)
PROVIDERS = frozenset({"ollama", "foundry-local", "vllm", "llama-cpp", "mlx", "lm-studio", "onnx", "lemonade"})

# Average bits per weight that a whole file may have. Vectors stay in 32 bits and the file holds its vocabulary as text,
# so a file is a little above its nominal bits.
BITS = {"q4_0": (4.5, 4.7), "q4_k_m": (4.7, 5.4), "q8_0": (8.4, 8.95), "f16": (15.9, 16.4)}
# Below a billion weights the vocabulary is up to two thirds of a model, and q4_k_m keeps it in 6.6 or 8.5 bits. Rows
# whose length is no multiple of 256 cannot take 4.5 bits either. Both push the average up, to 7.4 in Gemma 3 270M.
TINY_Q4_K_M = (4.7, 7.5)

KV_BYTES_PER_TOKEN = """\
phi-4                             204800
phi-4-mini                        131072
phi-3.5-mini                      393216
qwen2.5-0.5b                       12288
qwen2.5-1.5b                       28672
qwen2.5-3b                         36864
qwen2.5-7b                         57344
qwen2.5-coder-0.5b                 12288
qwen2.5-coder-1.5b                 28672
qwen2.5-coder-3b                   36864
qwen2.5-coder-7b                   57344
qwen3-0.6b                        114688
qwen3-1.7b                        114688
qwen3-4b                          147456
qwen3-8b                          147456
llama-3.2-1b                       32768
llama-3.2-3b                      114688
llama-3.1-8b                      131072
gemma-3-270m                       18432
gemma-3-1b                         26624
gemma-3-4b                        139264
smollm2-135m                       23040
smollm2-360m                       40960
smollm2-1.7b                      196608
smollm3-3b                         73728
mistral-7b                        131072
ministral-8b                      147456
ministral-3-3b                    106496
deepseek-r1-distill-qwen-1.5b      28672
deepseek-r1-distill-qwen-7b        57344
deepseek-r1-distill-llama-8b      131072
granite-3.3-2b                     81920
granite-3.3-8b                    163840
tinyllama-1.1b                     22528
nomic-embed-text                       -
all-minilm-l6-v2                       -
bge-small-en                           -
bge-m3                                 -
qwen3-embedding-0.6b              114688
embeddinggemma-300m                    -
"""

every_row = pytest.mark.parametrize("row", ROWS, ids=[row["alias"] for row in ROWS])


def kv_bytes(row: Row) -> int | None:
    """Bytes of key/value cache for one token at 16 bits; None where the model keeps no cache."""
    if row["kv_heads"] is None:
        return None
    return int(2 * row["layers"] * row["kv_heads"] * row["head_dim"] * 2)


def bits_per_weight(row: Row, size: int) -> float:
    """Average bits of the weights that are quantized: the vision tower keeps 16 bits in every file."""
    vision: int = row.get("vision_parameters", 0)
    stored: int = row["stored_parameters" if "stored_parameters" in row else "parameters"]
    return (size - 2 * vision) * 8 / (stored - vision)


def latency_class(parameters: int) -> str:
    bounds = ((10**9, "tiny"), (4 * 10**9, "small"), (10**10, "medium"))
    return next((name for below, name in bounds if parameters < below), "large")


@every_row
def test_a_row_has_every_required_key_and_no_unknown_one(row: Row) -> None:
    assert set(row) >= REQUIRED
    assert set(row) <= REQUIRED | OPTIONAL


def test_an_alias_names_one_model_only() -> None:
    names = [name for row in ROWS for name in (row["alias"], *row["aliases"])]
    assert sorted(names) == sorted(set(names))
    assert [name for name in names if name != name.lower() or not name.strip()] == []


@pytest.mark.parametrize("alias", ["phi-4-mini", "qwen2.5-0.5b", "qwen2.5-coder-0.5b"])
def test_the_aliases_of_the_classic_manifests_are_there(alias: str) -> None:
    assert alias in {row["alias"] for row in ROWS}


@every_row
def test_words_come_from_the_closed_lists(row: Row) -> None:
    assert row["kind"] in {"chat", "embedding"}
    assert row["tasks"] and set(row["tasks"]) <= TASKS
    assert row["ids"] and set(row["ids"]) <= PROVIDERS
    assert row["licence"] and row["family"]


@every_row
def test_kind_tasks_and_tools_agree(row: Row) -> None:
    embeds = row["kind"] == "embedding"
    assert (row["tasks"] == ["embedding"]) == embeds
    assert ("dimensions" in row) == embeds
    assert row["tools"] or "tools" not in row["tasks"]


@every_row
def test_the_latency_class_follows_from_the_parameters(row: Row) -> None:
    assert row["latency_class"] == latency_class(row["parameters"])


@every_row
def test_sizes_fit_the_parameters(row: Row) -> None:
    assert {"q4_k_m", "q8_0", "f16"} <= set(row["sizes"]) <= set(BITS)
    assert set(row["estimated"]) <= set(row["sizes"])
    for quantization, size in row["sizes"].items():
        tiny = quantization == "q4_k_m" and row["parameters"] < 10**9
        low, high = TINY_Q4_K_M if tiny else BITS[quantization]
        assert low <= bits_per_weight(row, size) <= high, quantization


@every_row
def test_what_a_provider_serves_has_a_size(row: Row) -> None:
    served: dict[str, str] = row.get("served_as", {})
    assert set(served) <= set(row["ids"])
    assert set(served.values()) <= set(row["sizes"])


@every_row
def test_the_parameters_are_near_the_size_in_the_name(row: Row) -> None:
    """Makers round down: 1.24 billion is called 1B and 3.85 billion 3B, never the other way by much."""
    found = re.findall(r"-(\d+(?:\.\d+)?)([bm])\b", row["alias"])
    for number, unit in found:
        called = float(number) * (10**9 if unit == "b" else 10**6)
        assert 0.9 <= row["parameters"] / called <= 1.35


@every_row
def test_the_weight_of_a_layer_is_plausible(row: Row) -> None:
    """All small transformers lie between a million and half a billion weights a layer, vocabulary included."""
    assert 10**6 <= row["parameters"] / row["layers"] <= 5 * 10**8
    assert row.get("stored_parameters", row["parameters"]) >= row["parameters"]


def test_models_built_on_the_same_base_have_the_same_shape() -> None:
    shapes = {row["alias"]: (row["layers"], row["kv_heads"], row["head_dim"]) for row in ROWS}
    for size in ("0.5b", "1.5b", "3b", "7b"):
        assert shapes[f"qwen2.5-coder-{size}"] == shapes[f"qwen2.5-{size}"]
    assert shapes["deepseek-r1-distill-qwen-7b"] == shapes["qwen2.5-7b"]
    assert shapes["deepseek-r1-distill-llama-8b"] == shapes["llama-3.1-8b"]
    assert shapes["qwen3-embedding-0.6b"] == shapes["qwen3-0.6b"]


@every_row
def test_a_model_without_cache_says_why(row: Row) -> None:
    if row["kv_heads"] is None or row["head_dim"] is None:
        assert row["kv_heads"] is row["head_dim"] is None
        assert row["kv_note"]


def test_cache_bytes_for_each_token() -> None:
    table = "".join(f"{row['alias']:<32}{kv_bytes(row) or '-':>8}\n" for row in ROWS)
    assert table == KV_BYTES_PER_TOKEN


@every_row
def test_a_row_says_where_and_when_it_was_read(row: Row) -> None:
    assert row["source"] and set(row["source"]) <= set(SOURCES)
    assert set(row["recalled"]) <= set(row)
    assert "recalled" not in row["source"] or row["recalled"]
    assert date.fromisoformat(row["date"]) >= date(2026, 1, 1)


def test_every_source_is_used() -> None:
    assert {key for row in ROWS for key in row["source"]} == set(SOURCES)
