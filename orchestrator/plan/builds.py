"""Builds of a model: what a served name says of its quantization and of what it was made for, and which build is better.
Pure.

Names carry the build in many ways: ``phi4-mini:3.8b-q8_0`` (Ollama), ``Phi-4-mini-instruct-Q4_K_M.gguf`` and
``unsloth/Phi-4-mini-instruct-GGUF:Q4_K_M`` (llama.cpp), ``Phi-4-mini-instruct-4bit`` (MLX), ``…-AWQ`` (vLLM),
``phi-4-mini-instruct-cuda-gpu:4`` (Foundry Local), ``…-int4-ov`` (OpenVINO).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf, log
from typing import Final, Literal, cast

from orchestrator.core.memory import BITS, USUAL
from orchestrator.ports.provider import ServedModel

Made = Literal["", "cpu", "gpu", "cuda", "npu"]
"""What a build was made for; empty: for whatever is there."""

_BUILD: Final = re.compile(
    r"[-._:](i?q[0-9][a-z0-9_]*|(?:f|bf)p?(?:16|32)|fp8|int[48]|awq(?:-int4)?|gptq(?:-int[48])?|[2-8]bit|mxfp4|nvfp4)(?:-ov)?$"
)
"""What a name adds to a model's own: its quantization."""
_VARIANT: Final = re.compile(r"-(?:(cuda|trtrtx|tensorrt)-gpu|[a-z]+-(cpu|gpu|npu))$")
"""What Foundry Local adds: the execution provider, and the device that it runs on."""
_INSTRUCTED: Final = re.compile(r"-(?:instruct|it|chat)$")
_MADE_BY: Final = re.compile(r"[-.](?:ud|i1|imat|imatrix)$")
"""What makers of GGUF files add to a model's name for how they chose the bits."""
_OWNED: Final = re.compile(r"^[a-z0-9.-]+__?(?:[a-z0-9.-]+-gguf_)?(?=[a-z])")
"""What stands before a model's own name where a file tells whose it is: ``microsoft_`` or ``bartowski__``; in llama.cpp's cache
also the repository, ``unsloth_phi-4-mini-instruct-gguf_``."""
_ENGINE: Final = re.compile(r"-(?:gguf|hybrid|npu|cpu)$")
"""What Lemonade adds to a model's name."""
_SPELLINGS: Final = {"fp16": "f16", "bfp16": "bf16", "fp32": "f32", "bf32": "f32"}
_TINY_LOSS: Final = 8.5
"""From this many bits on, more of them are commonly taken to gain nothing, and they take memory and time: Llama 3.1 8B makes
51 tokens a second in Q8_0 and 29 in F16 on one card (llama.cpp, tools/quantize/README.md). 16 bits come after 8."""
_USUAL_OF: Final = {
    "vllm": "bf16",
    "foundry-local": "int4",
    "mlx": "4bit",
    "openvino": "int4",
    "openvino-genai": "int4",
    "onnx": "int4",
}
"""What a name without a quantization usually is, by the make of its server."""


@dataclass(frozen=True, slots=True)
class Build:
    """``quantization`` as the catalogue spells it, empty where the name does not say; ``made`` for which device."""

    quantization: str = ""
    made: Made = ""

    def __str__(self) -> str:
        return " for ".join(filter(None, [self.quantization, self.made])) or "the plain build"


def build_of(name: str, told: str = "") -> Build:
    """What a served name says; ``told`` is what its server says, which is believed first."""
    file = _file(name.casefold())
    found, variant = _BUILD.search(file), _VARIANT.search(file.partition(":")[0])
    quantization = _spelled(told) if told and is_build(told) else _spelled(found[1]) if found else ""
    made: Made = ""
    if variant is not None:
        made = "cuda" if variant[1] else cast(Made, variant[2])
    return Build(quantization, made)


def same_model(provider: str, wanted: str, served: str, *, any_build: bool = True) -> bool:
    """Whether a server's id means the wanted one: case, Ollama's ``:latest``, folders and endings of files do not matter,
    and neither do builds. Without ``any_build``, the build of an Ollama tag does: there a tag is a name of its own."""
    one, other = wanted.casefold(), served.casefold()
    if one == other:
        return True
    if provider == "ollama" and not any_build:
        return _named(one) == _named(other)
    if provider in _STEMS:
        stem = _STEMS[provider]
        return stem(one) == stem(other)
    return not _forms(provider, one).isdisjoint(_forms(provider, other))


def stem_of(name: str) -> str:
    """What the names of one model have in common, whoever serves or made it: without folder, build and ending, and whether or not
    it says that it was made for instructions. ``qwen2.5:0.5b`` and ``Qwen2.5-0.5B-Instruct-Q8_0.gguf`` are one."""
    return _plain(_buildless(name))


def stems_of(name: str) -> frozenset[str]:
    """:func:`stem_of` a name, and of the same without whose it is (``microsoft_Phi-4-mini-instruct-Q4_K_M.gguf``)."""
    return frozenset(map(_plain, _unowned(_buildless(name))))


def means(provider: str, wanted: str, model: ServedModel, *, any_build: bool = True) -> bool:
    """Whether the wanted one is this model, by its id or by its alias; see :func:`same_model`."""
    return any(same_model(provider, wanted, name, any_build=any_build) for name in model.names)


def usual_build(provider: str, served_as: str = "") -> str:
    """The quantization of a name that tells none: what the catalogue says of the provider, else what is usual there."""
    return served_as or _USUAL_OF.get(provider, USUAL)


def is_build(name: str) -> bool:
    """Whether a manifest's `quantization` is one that is known."""
    return _spelled(name.casefold()) in BITS


def same_build(one: str, other: str) -> bool:
    """Whether two spellings name one quantization; 16 bits are 16 bits."""
    same = {"bf16": "f16"}
    first, second = _spelled(one.casefold()), _spelled(other.casefold())
    return same.get(first, first) == same.get(second, second)


def nearest_build(wanted: str, there: Iterable[str]) -> str:
    """Of these builds, of which there must be one, that whose bits a weight are nearest to those of the wanted one: by the factor
    between them, as memory goes by it, and as one bit of three is more than one of eight. One of unknown bits comes last."""

    def apart(build: str) -> float:
        bits = BITS.get(_spelled(build.casefold())), BITS.get(_spelled(wanted.casefold()))
        return abs(log(bits[0] / bits[1])) if bits[0] and bits[1] else inf

    return min(there, key=lambda build: (apart(build), build))


def worth(build: str) -> tuple[bool, float]:
    """How faithful a build is, larger is better: more bits up to 8, then 16 bits, which gain nothing that counts."""
    bits = BITS.get(build, 0.0)
    return (True, bits) if bits <= _TINY_LOSS else (False, bits)


def _spelled(build: str) -> str:
    build = build.casefold()
    if build.startswith(("awq", "gptq")):
        return build.partition("-")[0]
    return _SPELLINGS.get(build, build)


def _file(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].removesuffix(".gguf")


def _buildless(name: str) -> str:
    return _BUILD.sub("", _file(name.casefold()).replace(":", "-")).removesuffix("-gguf")


def _unowned(stem: str) -> frozenset[str]:
    """A name without its build; and without whose it is."""
    return frozenset((stem, _OWNED.sub("", stem)))


def _forms(provider: str, name: str) -> frozenset[str]:
    """What a name may be called by, where one form in common is enough. Lemonade's names end with what runs them; such a name is
    compared with those of files and repositories, as ``Llama-3.2-1B-Hybrid`` is no ``llama-3.2-1b``, which follows instructions."""
    forms = _unowned(_file_stem(name))
    if provider == "lemonade" and ("/" in name or _ENGINE.search(name)):
        forms |= {f"{_file_stem(_ENGINE.sub('', name))} of any engine"}
    return forms


def _plain(stem: str) -> str:
    return _INSTRUCTED.sub("", _MADE_BY.sub("", stem).replace("_", "-"))


def _file_stem(name: str) -> str:
    stem = _file(name).partition(":")[0].removesuffix(".gguf")
    return _BUILD.sub("", stem).removesuffix("-gguf")


def _named(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _tagged(name: str) -> str:
    """An Ollama name: its folder and its size belong to it, the build of the same weights does not."""
    folder, _, last = name.rpartition("/")
    model, _, tag = last.partition(":")
    found = _BUILD.search(f":{tag}")
    if found is not None:
        tag = _INSTRUCTED.sub("", tag[: max(0, found.start() - 1)])
    return f"{folder}/{model}:{tag or 'latest'}"


def _variant_stem(name: str) -> str:
    """A Foundry Local name: an alias, or a variant of it."""
    return _INSTRUCTED.sub("", _VARIANT.sub("", _file_stem(name)))


_STEMS: Final[Mapping[str, Callable[[str], str]]] = {"ollama": _tagged, "foundry-local": _variant_stem}
