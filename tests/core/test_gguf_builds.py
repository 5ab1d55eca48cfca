"""What llama.cpp calls the builds of its files."""

from __future__ import annotations

import pytest
from gguf import LlamaFileType

from orchestrator.core.gguf_builds import FILE_TYPES, build_of_number, build_of_words


@pytest.mark.parametrize(
    ("words", "build"),
    [
        ("Q4_K - Medium", "q4_k_m"),
        ("Q4_K - Small", "q4_k_s"),
        ("Q2_K - Medium", "q2_k"),
        ("Q2_K - Small", "q2_k_s"),
        ("Q3_K - Large", "q3_k_l"),
        ("Q5_K - Medium", "q5_k_m"),
        ("Q6_K", "q6_k"),
        ("Q8_0", "q8_0"),
        ("all F32", "f32"),
        ("F16", "f16"),
        ("BF16", "bf16"),
        ("IQ4_XS - 4.25 bpw", "iq4_xs"),
        ("IQ3_S - 3.4375 bpw", "iq3_s"),
        ("IQ3_S mix - 3.66 bpw", "iq3_m"),
        ("IQ2_XXS - 2.0625 bpw", "iq2_xxs"),
        ("TQ1_0 - 1.69 bpw ternary", "tq1_0"),
        ("MXFP4 MoE", "mxfp4"),
        ("NVFP4", "nvfp4"),
        ("Q4_K_M", "q4_k_m"),
    ],
)
def test_the_words_of_a_server_name_one_build(words: str, build: str) -> None:
    """By which files and repositories call it."""
    assert build_of_words(words) == build


@pytest.mark.parametrize("words", ["", "(guessed) Q4_K - Medium", "unknown, may not work", "Q4_K", "awq", "4bit"])
def test_what_is_guessed_or_unknown_is_none(words: str) -> None:
    """It would be taken for what somebody knows."""
    assert build_of_words(words) == ""


def test_the_numbers_are_those_of_the_library_that_writes_such_files() -> None:
    """But for those that it took out, or that are none."""
    named = {each.value: each.name.removeprefix("MOSTLY_").removeprefix("ALL_") for each in LlamaFileType}
    spelled = {number: name.casefold().removesuffix("_moe") for number, name in named.items() if number < 1024}
    assert {number: build for number, build in spelled.items() if number in FILE_TYPES} == {
        number: build for number, build in FILE_TYPES.items() if number in spelled
    }
    assert build_of_number(15) == "q4_k_m"
    assert build_of_number(4) == build_of_number(-1) == ""
