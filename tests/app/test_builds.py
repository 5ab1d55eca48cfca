"""Builds of the catalogue's models: which one a device would get, and what servers call it."""

from __future__ import annotations

import pytest

from orchestrator.app.builds import builds_for, ids_of_build
from orchestrator.manifest.catalogue.reader import find_model, model_rows
from orchestrator.plan.builds import build_of, same_model
from orchestrator.ports.device import Device

GB = 10**9


@pytest.mark.parametrize(
    ("memory", "shown"),
    [
        (3, ["q4_k_m! tight", "q8_0 tight", "f16 tight"]),
        (5, ["q4_k_m! fits", "q8_0 tight", "f16 tight"]),
        (8, ["q8_0! fits", "q4_k_m fits", "f16 tight"]),
        (32, ["q8_0! fits", "f16 fits", "q4_k_m fits"]),
    ],
)
def test_the_most_faithful_build_that_fits_goes_first(memory: int, shown: list[str]) -> None:
    """What is measured refuses none."""
    row = find_model("phi-4-mini")
    assert row is not None
    builds = builds_for(row, Device(memory * GB, memory * GB, 4))
    assert [f"{each.build}{'!' if each.chosen else ''} {each.fit}" for each in builds.variants] == shown


def test_with_nothing_known_of_the_device_nothing_is_held_against_a_build() -> None:
    """There is a best one all the same."""
    row = find_model("phi-4-mini")
    assert row is not None
    builds = builds_for(row, None)
    assert (builds.budget, builds.best.build if builds.best else "") == (None, "q8_0")


@pytest.mark.parametrize(
    ("alias", "provider", "build", "ids"),
    [
        ("phi-4-mini", "ollama", "q4_k_m", ["phi4-mini:3.8b"]),
        ("phi-4-mini", "ollama", "q8_0", ["phi4-mini:3.8b-q8_0", "phi4-mini:3.8b-instruct-q8_0"]),
        ("phi-4-mini", "ollama", "f16", ["phi4-mini:3.8b-fp16", "phi4-mini:3.8b-instruct-fp16"]),
        ("phi-4-mini", "ollama", "q3_k_l", ["phi4-mini:3.8b-q3_K_L", "phi4-mini:3.8b-instruct-q3_K_L"]),
        ("phi-4-mini", "llama-cpp", "q8_0", ["unsloth/Phi-4-mini-instruct-GGUF:Q8_0"]),
        ("phi-4-mini", "lm-studio", "q4_k_m", ["unsloth/Phi-4-mini-instruct-GGUF:Q4_K_M"]),
        ("qwen3-8b", "lm-studio", "q8_0", ["lmstudio-community/Qwen3-8B-GGUF:Q8_0"]),
        ("bge-m3", "llama-cpp", "f16", []),
        ("nomic-embed-text", "ollama", "q8_0", []),
        ("deepseek-r1-distill-llama-8b", "ollama", "q8_0", []),
        ("phi-4-mini", "foundry-local", "q8_0", []),
    ],
)
def test_a_build_is_asked_for_by_the_name_that_its_server_has(
    alias: str, provider: str, build: str, ids: list[str]
) -> None:
    """None where a repository or a tag is that of one build, or the make chooses by itself."""
    row = find_model(alias)
    assert row is not None and ids_of_build(row, provider, build) == ids


@pytest.mark.parametrize("row", model_rows(), ids=lambda row: row["alias"])
def test_what_is_pulled_is_found_again_as_a_build_of_its_model(row: dict[str, dict[str, str]]) -> None:
    """A plan binds an alias to whichever build of it is there."""
    for provider in ("ollama", "llama-cpp"):
        for build in row["sizes"]:
            for name in ids_of_build(row, provider, build):
                assert same_model(provider, row["ids"][provider], name), name
                assert build_of(name).quantization in ("", build)
