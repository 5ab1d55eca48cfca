"""The libraries that run models in a process of ours: where their models lie, and what each can do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.plugins.providers.in_process import gguf
from orchestrator.ports.provider import Capability, Support

_YES: Final = (
    Capability.CHAT,
    Capability.STREAM,
    Capability.STREAM_USAGE,
    Capability.JSON_SCHEMA,
    Capability.SLOTS_TOLD,
    Capability.LOAD,
)


@dataclass(frozen=True, slots=True)
class Library:
    """``kind`` is its name in the table of providers and the scheme of its addresses, ``module`` what the worker imports,
    ``extra`` what brings it, ``variable`` names the folder of models in the environment. ``found`` gives the models of a folder
    by name, ``context`` the tokens that one may hold, where its files tell."""

    kind: str
    title: str
    module: str
    extra: str
    variable: str
    marker: str
    instead: str
    found: Callable[[Path], dict[str, Path]]
    context: Callable[[Path], int | None]

    @property
    def capabilities(self) -> Mapping[Capability, Support]:
        """What a model of it can do; what exceeds the context is refused by us."""
        return {
            **dict.fromkeys(Capability, Support.UNKNOWN),
            **dict.fromkeys(_YES, Support.YES),
            **dict.fromkeys((Capability.CONTEXT_TOLD, Capability.OVERFLOW_REFUSED), Support.YES),
            **dict.fromkeys((Capability.TOOLS, Capability.EMBEDDINGS), Support.NO),
            **dict.fromkeys((Capability.GRAMMAR, Capability.LOGPROBS), Support.IGNORED),
        }


def _onnx_models(folder: Path) -> dict[str, Path]:
    return {file.parent.name: file.parent for file in sorted(folder.glob("*/genai_config.json"))}


def _onnx_context(model: Path) -> int | None:
    told = model / "genai_config.json"
    return _number(told, "model", "context_length") or _number(told, "search", "max_length")


def _openvino_models(folder: Path) -> dict[str, Path]:
    prepared = {file.parent.name: file.parent for file in sorted(folder.glob("*/openvino_model.xml"))}
    return prepared | {file.stem: file for file in sorted(folder.glob("*.gguf")) if file.stem not in prepared}


def _openvino_context(model: Path) -> int | None:
    return gguf.context_of(model) if model.is_file() else _number(model / "config.json", "max_position_embeddings")


def size_of(model: Path) -> int | None:
    """Bytes of a model's files; ``None`` where they cannot be looked at."""
    try:
        files = [each for each in model.rglob("*") if each.is_file()] if model.is_dir() else [model]
        return sum(each.stat().st_size for each in files)
    except OSError:
        return None


def _number(file: Path, *keys: str) -> int | None:
    """A whole number in a file of JSON. What is not there or not readable is not told here: the call will say what is wrong."""
    try:
        value: Any = json.loads(file.read_text(encoding="utf-8"))
        for key in keys:
            value = value[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


ONNX: Final = Library(
    kind="onnx",
    title="ONNX Runtime GenAI",
    module="onnxruntime_genai",
    extra="onnx",
    variable="ONNX_MODELS",
    marker="genai_config.json",
    instead="serve the model by Foundry Local or Lemonade",
    found=_onnx_models,
    context=_onnx_context,
)
OPENVINO: Final = Library(
    kind="openvino-genai",
    title="OpenVINO GenAI",
    module="openvino_genai",
    extra="openvino",
    variable="OPENVINO_MODELS",
    marker="openvino_model.xml, and is no GGUF file",
    instead="serve the model by OpenVINO Model Server",
    found=_openvino_models,
    context=_openvino_context,
)
LIBRARIES: Final = (ONNX, OPENVINO)
