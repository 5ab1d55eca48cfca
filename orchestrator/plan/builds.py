"""Builds of a model: what a served name says of its quantization and of what it was made for, and which build is better.
Pure.

Names carry the build in many ways: ``phi4-mini:3.8b-q8_0`` (Ollama), ``Phi-4-mini-instruct-Q4_K_M.gguf`` and
``unsloth/Phi-4-mini-instruct-GGUF:Q4_K_M`` (llama.cpp), ``Phi-4-mini-instruct-4bit`` (MLX), ``…-AWQ`` (vLLM),
``phi-4-mini-instruct-cuda-gpu:4`` (Foundry Local), ``…-int4-ov`` (OpenVINO). What servers tell beside the name is told in
words of their own: ``Q4_K - Medium`` (llama.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import inf, log
from typing import Final, Literal, cast

from orchestrator.core.gguf_builds import build_of_words
from orchestrator.core.memory import BITS, USUAL, USUAL_OF
from orchestrator.ports.provider import ServedModel

Made = Literal["", "cpu", "gpu", "cuda", "npu"]
"""What a build was made for; empty: for whatever is there."""

_BUILD: Final = re.compile(
    r"[-._:@](i?q[0-9][a-z0-9_]*|(?:f|bf)p?(?:16|32)|fp8|int[48]|awq(?:-int4)?|gptq(?:-int[48])?|[2-8]bit|mxfp4|nvfp4)(?:-ov)?$"
)
"""What a name adds to a model's own: its quantization."""
_VARIANT: Final = re.compile(r"-(?:(cuda|trtrtx|tensorrt)-gpu|[a-z]+-(cpu|gpu|npu))$")
"""What Foundry Local adds: the execution provider, and the device that it runs on."""
_INSTRUCTED: Final = re.compile(r"-(?:instruct|it|chat)$")
_MADE_BY: Final = re.compile(r"[-.](?:ud|i1|imat|imatrix)$")
"""What makers of GGUF files add to a model's name for how they chose the bits."""
_WHOLE: Final = re.compile(r"(?:(?<=[-.:@])(?:ud|i1|imat|imatrix)[-.])?[a-z0-9_]+(?:-int[48])?$")
"""A build as a name spells it, with how its bits were chosen: ``ud-q4_k_xl`` is no ``q4_k_xl``."""
_OWNED: Final = re.compile(r"^[a-z0-9.-]+__?(?:[a-z0-9.-]+-gguf_)?(?=[a-z])")
"""What stands before a model's own name where a file tells whose it is: ``microsoft_`` or ``bartowski__``; in llama.cpp's cache
also the repository, ``unsloth_phi-4-mini-instruct-gguf_``."""
_REPOSITORY: Final = re.compile(r"([\w.-]*\w)/[^/\\]+(?<!\.gguf)$")
"""``owner/name``, and no path of a file."""
_GGUF: Final = frozenset(("llama-cpp", "lm-studio"))
"""Makes that take one build of a repository of GGUF files: ``REPOSITORY:BUILD``."""
_MIXED: Final = re.compile(r"_k(_[sml])?$")
"""What Ollama's library spells in capitals in its tags: ``q4_K_M``, ``q6_K``."""
_HUBS: Final = frozenset(("llama-cpp", "vllm", "mlx"))
"""Makes whose ids are repositories: one of another owner holds other files."""
_GGUFS: Final = ("-gguf", ".gguf")
"""How repositories and files of one build after the other end: what follows their colon is a build."""
_ENGINE: Final = re.compile(r"-(?:gguf|hybrid|npu|cpu)$")
"""What Lemonade adds to a model's name."""
_NUMBERED: Final = frozenset(("lm-studio", "foundry-local"))
"""Makes that end an id with a number: of the instance at LM Studio (``qwen3-4b:2``), of the version at Foundry Local."""
_SIZE: Final = re.compile(r"(?:\d+x)?\d+(?:\.\d+)?[mb]")
_SIZED: Final = re.compile(rf"(?:^|[-_.])({_SIZE.pattern})(?=$|[-_.])")
"""Where a name says how large its model is: ``qwen2.5-0.5b-instruct``."""
_DOCKERS: Final = re.compile(r"(?:^|/)ai/[^/]+$")
"""A name of Docker's library. One without a tag is another size there than Ollama's of the same name: ``ai/smollm2`` has 360M."""
_SPELLINGS: Final = {"fp16": "f16", "bfp16": "bf16", "fp32": "f32", "bf32": "f32"}
_TINY_LOSS: Final = 8.5
"""From this many bits on, more of them are commonly taken to gain nothing, and they take memory and time: Llama 3.1 8B makes
51 tokens a second in Q8_0 and 29 in F16 on one card (llama.cpp, tools/quantize/README.md). 16 bits come after 8."""
_EIGHT: Final = 8.0
"""Bits of the least build that is as good as one of 16."""


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
    known = is_build(told) or build_of_words(told)  # also a build whose bits nobody wrote down is that one and no other
    quantization = _spelled(told) if known else _spelled(found[1]) if found else ""
    made: Made = ""
    if variant is not None:
        made = "cuda" if variant[1] else cast(Made, variant[2])
    return Build(quantization, made)


def same_model(provider: str, wanted: str, served: str) -> bool:
    """Whether a server's id means the wanted one: case, ``:latest``, folders and endings of files do not matter, and neither do
    builds. A size does, wherever it stands: ``qwen2.5:7b`` is ``Qwen2.5-7B``, and no ``qwen2.5:0.5b``."""
    one, other = wanted.casefold(), served.casefold()
    if one == other:
        return True
    if provider == "ollama":
        return _tagged(one) == _tagged(other)
    if not _forms(provider, one).isdisjoint(_forms(provider, other)):
        return True
    return _is_whole(one) and _without_size(provider, other) in _bases(provider, one)


def names_build(provider: str, name: str) -> bool:
    """Whether a name is that of one build: by its quantization, a tag of Ollama's, a variant or a version of Foundry Local's, or
    what runs it at Lemonade."""
    name = name.casefold()
    if provider == "ollama" and ":" in name.rpartition("/")[2]:
        return True
    if provider == "foundry-local" and any(_variant(name)):
        return True
    return bool(build_of(name).quantization) or (provider == "lemonade" and _ENGINE.search(name) is not None)


def stem_of(name: str) -> str:
    """What the names of one model have in common, whoever serves or made it: without folder, build and ending, and whether or not
    it says that it was made for instructions. ``qwen2.5:0.5b`` and ``Qwen2.5-0.5B-Instruct-Q8_0.gguf`` are one."""
    return _plain(_buildless(name))


def stems_of(name: str) -> frozenset[str]:
    """:func:`stem_of` a name, and of the same without whose it is (``microsoft_Phi-4-mini-instruct-Q4_K_M.gguf``)."""
    return frozenset(map(_plain, _unowned(_buildless(name))))


def means(provider: str, wanted: str, model: ServedModel, *, any_build: bool = True) -> bool:
    """Whether the wanted one is this model, by its id or by its alias; see :func:`same_model`. Without ``any_build``, as for a
    name that somebody wrote, a name of one build is that build and no other. This alone decides it: for what is served, loaded,
    unloaded, removed and pulled."""
    if any(_called_so(provider, wanted, name) for name in model.names):
        return True
    if not any(same_model(provider, wanted, name) for name in model.names):
        return False
    return any_build or _is_that_build(provider, wanted.casefold(), model)


def ids_of_build(provider: str, plain: str, build: str, served_as: str = "") -> list[str]:
    """What a server may call this build of the model whose usual id there is ``plain``, what to ask it for first; empty where its
    make has one build under each name, or names its builds in ways that nobody can know. ``served_as`` as in
    :func:`usual_build`."""
    if not plain or is_plain(provider, plain, build, served_as):
        return [plain] if plain else []
    if provider == "ollama":
        size = plain.partition(":")[2]
        tag = "fp16" if build == "f16" else _MIXED.sub(lambda found: found[0].upper(), build)
        return [f"{plain}-{tag}", f"{plain}-instruct-{tag}"] if size and not build_of(plain).quantization else []
    repository = re.split("[:@]", plain)[0]
    # A repository that is named after one build holds that one only.
    whole = build_of(repository.casefold().removesuffix("-gguf")).quantization
    return [f"{repository}:{build.upper()}"] if provider in _GGUF and not whole else []


def is_plain(provider: str, plain: str, build: str, served_as: str = "") -> bool:
    """Whether the usual id of a provider serves this build."""
    return same_build(build, build_of(plain).quantization or usual_build(provider, served_as))


def usual_build(provider: str, served_as: str = "") -> str:
    """The quantization of a name that tells none: what the catalogue says of the provider, else what is usual there."""
    return served_as or USUAL_OF.get(provider, USUAL)


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


def worth(build: str) -> float:
    """How faithful a build is for what it takes, larger is better: more bits up to 8; then 16, which gain nothing over 8 that
    counts, and before all that has fewer."""
    bits = BITS.get(build, 0.0)
    return bits if bits <= _TINY_LOSS else _EIGHT - bits / 1000


def is_beyond(build: str) -> bool:
    """Whether it has more bits than gain anything."""
    return BITS.get(build, 0.0) > _TINY_LOSS


def _called_so(provider: str, wanted: str, name: str) -> bool:
    """Whether this is its name, letter by letter."""
    one, other = wanted.casefold(), name.casefold()
    return one == other or (provider == "ollama" and _named(one) == _named(other))


def _is_that_build(provider: str, wanted: str, model: ServedModel) -> bool:
    """Whether a build of the wanted model is the one that the name means; any is, where it names none."""
    if provider == "ollama":
        return False  # each tag is a name of its own, also that which is not written
    if provider in _HUBS and not _one_owner(wanted, model.id.casefold()):
        return False
    if not names_build(provider, wanted):
        return True
    if provider == "foundry-local":
        (variant, version), (its_variant, its_version) = _variant(wanted), _variant(model.id.casefold())
        return variant in ("", its_variant) and version in ("", its_version)
    if provider == "lemonade" and _ENGINE.search(wanted) is not None:
        return _engine(wanted) == _engine(model.id.casefold())
    return _whole(wanted) in _builds_of(model)


def _builds_of(model: ServedModel) -> set[str]:
    """What its names say, else what its server tells of it; empty where nobody says."""
    said = {whole for name in model.names if (whole := _whole(name.casefold()))}
    return said or ({_spelled(model.quantization)} if model.quantization else set())


def _whole(name: str) -> str:
    """The build that a name ends with, as it is spelled there; empty where it ends with none."""
    file = _file(name)
    if _BUILD.search(file) is None:
        return ""
    found = _WHOLE.search(file.removesuffix("-ov"))
    whole = found[0] if found else ""
    return _SPELLINGS.get(whole, whole)


def _variant(name: str) -> tuple[str, str]:
    """Of a Foundry Local name which variant it is, and of which version; empty where it does not say."""
    variant, _, version = name.partition(":")
    found = _VARIANT.search(variant)
    return found[0] if found else "", version


def _engine(name: str) -> str:
    found = _ENGINE.search(name)
    return found[0] if found else ""


def _one_owner(one: str, other: str) -> bool:
    """Whether two names of repositories have one owner; a file, or a name without an owner, has any."""
    owners = {found[1] for each in (one, other) if (found := _REPOSITORY.match(each))}
    return len(owners) < 2


def _spelled(build: str) -> str:
    build = build.casefold()
    if build.startswith(("awq", "gptq")):
        return build.partition("-")[0]
    return _SPELLINGS.get(build) or build_of_words(build) or build


def _file(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].removesuffix(".gguf")


def _buildless(name: str) -> str:
    return _BUILD.sub("", _file(name.casefold()).replace(":", "-")).removesuffix("-gguf")


def _unowned(stem: str) -> frozenset[str]:
    """A name without its build; and without whose it is."""
    return frozenset((stem, _OWNED.sub("", stem)))


@lru_cache(maxsize=4096)
def _forms(provider: str, name: str) -> frozenset[str]:
    """What a name may be called by, where one form in common is enough. Lemonade's names end with what runs them; such a name is
    compared with those of files and repositories, as ``Llama-3.2-1B-Hybrid`` is no ``llama-3.2-1b``, which follows instructions.
    A name of Docker's library that tells no size is compared with those of repositories only."""
    tag = _size_tag(provider, name)
    bases = _bases(provider, name)
    if tag:
        bases = frozenset(f"{base}-{tag}" for base in bases)
    forms = bases
    if "/" in name:
        forms |= {f"{base} of a repository" for base in bases}
    if _DOCKERS.search(name) and not (tag or any(map(_SIZED.search, bases))):
        forms -= bases
    if provider == "lemonade" and ("/" in name or _ENGINE.search(name)):
        forms |= {f"{base} of any engine" for base in _bases(provider, _ENGINE.sub("", name))}
    return forms


def _bases(provider: str, name: str) -> frozenset[str]:
    """What stands before the tag, without its build."""
    stem = _stem_and_tag(name)[0]
    if provider == "foundry-local":
        return frozenset((_INSTRUCTED.sub("", _VARIANT.sub("", stem)),))
    return _unowned(stem)


def _stem_and_tag(name: str) -> tuple[str, str]:
    """What stands before and after the colon, both as they are, but for the build before it."""
    stem, _, tag = _file(name).partition(":")
    stem = stem.removesuffix(".gguf")
    built = _BUILD.sub("", stem)
    return (stem if built == stem else _MADE_BY.sub("", built)).removesuffix("-gguf"), tag


def _size_tag(provider: str, name: str) -> str:
    """What a tag says beside the build, which is mostly a size; empty where it says no more than that."""
    before, _, tag = _file(name).partition(":")
    if tag == "latest" or before.endswith(_GGUFS) or is_build(tag) or (provider in _NUMBERED and tag.isdecimal()):
        return ""
    return _INSTRUCTED.sub("", _MADE_BY.sub("", _BUILD.sub("", f"-{tag}")))[1:]


def _is_whole(name: str) -> bool:
    """Whether it is the name of a repository that tells one model from those of other sizes by itself, with no tag."""
    stem, tag = _stem_and_tag(name)
    apart = _INSTRUCTED.search(stem) or _SIZED.search(stem)
    return not tag and apart is not None and "/" in name and not _DOCKERS.search(name)


def _without_size(provider: str, name: str) -> str:
    """A name whose tag is only the size, without that: ``phi-4-mini-instruct`` of ``ai/phi-4-mini-instruct:3.8B-Q4_0``; empty for
    others, and where the name itself tells another size."""
    stem, tag = _stem_and_tag(name)[0], _size_tag(provider, name)
    told = _SIZED.findall(stem)
    return stem if _SIZE.fullmatch(tag) and (not told or tag in told) else ""


def _plain(stem: str) -> str:
    return _INSTRUCTED.sub("", _MADE_BY.sub("", stem).replace("_", "-"))


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
