"""The build that a manifest names of a model whose server we start: how that server is told, or why it cannot have it. Pure.

A server is started with a name or a file, and that mostly is one build already. So a build is *had* where the name tells it
or usually means it; *told* where the program has a word for it (a tag of Ollama's, vLLM's ``--quantization``); and refused
where neither is so: another build in its place would not be what the manifest says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from orchestrator.core.blueprint import ModelSpec
from orchestrator.core.gguf_builds import FILE_TYPES
from orchestrator.core.memory import BITS
from orchestrator.plan.builds import build_of, ids_of_build, same_build, usual_build
from orchestrator.plan.matching import is_written

Refusal = tuple[str, str]
"""Why not, and what to write."""
_FILES: Final = frozenset(("llama-cpp", "ollama"))
"""Makes that serve GGUF files."""
_BOTH: Final = frozenset(("f16", "bf16", "f32", "mxfp4", "nvfp4"))
"""Builds that there are in GGUF files and elsewhere."""
_ON_THE_FLY: Final = frozenset(("fp8",))
"""Builds that vLLM makes of full weights while it loads them; all others must be in the checkpoint."""


def refused_build(spec: ModelSpec, lacks: Callable[[str], str]) -> Refusal | None:
    """Why the server that we start cannot have the build that its model is wanted in; ``None`` where it can. ``lacks`` is what its
    program says of a build that it cannot be told: what to do instead, empty where it can be told."""
    server, wanted = spec["server"], spec["quantization"]
    if server is None or not wanted:
        return None
    kind, named = server["kind"], str(server["options"].get("quantization") or "")
    if named and not same_build(wanted, named):
        return (
            f"it is wanted as {wanted}, and its server is told {named}",
            "keep one: quantization of the model, or of its server",
        )
    told = _told(spec)
    if told and same_build(wanted, told):
        return None
    if told:
        cure = lacks(wanted) or "name that build in model"
        return f"it is wanted as {wanted}, and {_name(spec)} is {told}", f"{cure}; or write quantization: {told}"
    if wanted in BITS and _is_of_files(wanted) != (kind in _FILES) and wanted not in _BOTH:
        what = "serves GGUF files" if kind in _FILES else "serves no GGUF files"
        return f"it is wanted as {wanted}, and {kind} {what}", lacks(wanted) or "name a build that it has"
    return _untold(spec, wanted, lacks)


def told_build(spec: ModelSpec) -> dict[str, str]:
    """The option by which its program is told the build; empty where its name says it, or means it, or it has no such option."""
    server, wanted = spec["server"], spec["quantization"]
    if server is None or server["kind"] != "vllm" or not wanted or _told(spec) or _is_full(wanted):
        return {}
    return {"quantization": wanted}


def _untold(spec: ModelSpec, wanted: str, lacks: Callable[[str], str]) -> Refusal | None:
    """Of a name that tells no build. What the manifest writes itself is believed: nobody else knows."""
    server = spec["server"]
    if server is None or server["kind"] == "llama-cpp":  # its files tell it, when they are looked at
        return None
    kind, usual = server["kind"], usual_build(server["kind"], spec["served_as"].get(server["kind"], ""))
    known = not is_written(spec) and not _is_path(server["model"])
    if known and same_build(wanted, usual):
        return None
    if kind == "vllm":
        instead = "" if _is_full(wanted) else lacks(wanted)
        if not instead and not (known and wanted not in _ON_THE_FLY):
            return None
    elif kind == "ollama":
        instead = lacks(wanted)
        if not known or ids_of_build(kind, server["model"], wanted, spec["served_as"].get(kind, "")):
            return None
    else:
        instead = lacks(wanted)
        if not known:
            return None
    cure = instead or f"name the repository of its {wanted} build in model"
    return f"it is wanted as {wanted}, and {_name(spec)} is {usual}", f"{cure}; or write quantization: {usual}"


def _told(spec: ModelSpec) -> str:
    """What the name that its server is started with says; of a folder of files each says its own."""
    server = spec["server"]
    if server is None or (server["kind"] == "llama-cpp" and not server["model"].endswith(".gguf")):
        return ""
    return build_of(server["model"]).quantization


def _name(spec: ModelSpec) -> str:
    model = spec["server"]["model"] if spec["server"] else spec["alias"]
    return model.rpartition("/")[2] if _is_path(model) else model


def _is_path(model: str) -> bool:
    return model.startswith("/") or model[1:2] == ":"


def _is_of_files(build: str) -> bool:
    return build in FILE_TYPES.values()


def _is_full(build: str) -> bool:
    return build in ("f16", "bf16", "fp16", "f32")
