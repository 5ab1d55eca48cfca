"""What llama.cpp calls the build of a GGUF file: the number that stands in the file, and the words that its server tells. Pure.

Both are those of ``llama_ftype`` (include/llama.h) and ``llama_model_ftype_name`` (src/llama-model-loader.cpp). The names on
the right are those of ``llama-quantize``, by which people and repositories call them: ``Q4_K - Medium`` is ``q4_k_m``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FILE_TYPE: Final = "general.file_type"
"""The key of a GGUF file under which that number stands."""
FILE_TYPES: Final[Mapping[int, str]] = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 11: "q3_k_s", 12: "q3_k_m",
    13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 19: "iq2_xxs", 20: "iq2_xs",
    21: "q2_k_s", 22: "iq3_xs", 23: "iq3_xxs", 24: "iq1_s", 25: "iq4_nl", 26: "iq3_s", 27: "iq3_m", 28: "iq2_s",
    29: "iq2_m", 30: "iq4_xs", 31: "iq1_m", 32: "bf16", 36: "tq1_0", 37: "tq2_0", 38: "mxfp4", 39: "nvfp4",
}  # fmt: skip
"""By number. Those that are missing were taken out of llama.cpp."""
_WORDS: Final[Mapping[str, str]] = {
    "all f32": "f32",
    "q2_k - medium": "q2_k",
    "q2_k - small": "q2_k_s",
    "q3_k - small": "q3_k_s",
    "q3_k - medium": "q3_k_m",
    "q3_k - large": "q3_k_l",
    "q4_k - small": "q4_k_s",
    "q4_k - medium": "q4_k_m",
    "q5_k - small": "q5_k_s",
    "q5_k - medium": "q5_k_m",
    "iq3_s mix": "iq3_m",
    "mxfp4 moe": "mxfp4",
}
"""Words that are not the name itself, without the bits a weight that may follow."""
_NAMES: Final = frozenset(FILE_TYPES.values()) | {"q1_0", "q2_0"}
_BITS: Final = " bpw"


def build_of_words(words: str) -> str:
    """The build that a llama-server tells; empty for what nobody knows, and for what it only guessed: where the file itself
    says nothing, it goes by the commonest type of its tensors, which does not tell one mix from another."""
    told = words.casefold().strip()
    if _BITS in told:
        told = told.rpartition(" - ")[0]
    build = _WORDS.get(told, told)
    return build if build in _NAMES else ""


def build_of_number(number: int) -> str:
    """The build by the number in its file; empty for one that nobody knows."""
    return FILE_TYPES.get(number, "")
