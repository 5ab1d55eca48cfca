"""What a user types so that a server of some make serves a model; for those in a folder of files, what to do. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Final
from urllib.parse import urlsplit

from orchestrator.core.hosts import distance_of_url
from orchestrator.plan.observed import NOBODY, ObservedState


@dataclass(frozen=True, slots=True)
class Line:
    """``text`` with ``{id}``; with ``{port}`` too where one process serves one model: then ``ports`` are those that its make is
    looked for at. ``start`` switches on a server that pulling does not."""

    text: str
    ports: tuple[int, ...] = ()
    start: str = ""


LINES: Final[Mapping[str, Line]] = {
    "ollama": Line("ollama pull {id}"),
    "llama-cpp": Line("llama-server -hf {id} --jinja --port {port}", (8080, 9931)),
    "vllm": Line("vllm serve {id} --port {port}", (8000,)),
    "mlx": Line("mlx_lm.server --model {id} --port {port}", (8080,)),
    "lm-studio": Line("lms get {id}", start="lms server start"),
    "foundry-local": Line("foundry model run {id}"),
    "openvino": Line(
        "ovms --rest_port {port} --source_model {id} --model_repository_path models --task text_generation", (8000,)
    ),
    "lemonade": Line("lemonade-server pull {id}", start="lemonade-server serve"),
    "localai": Line("local-ai run {id}"),
    "docker-model-runner": Line("docker model pull {id}"),
    "onnx": Line("put {id} into the folder in ONNX_MODELS"),
    "openvino-genai": Line("put {id} into the folder in OPENVINO_MODELS"),
}
"""By make, those first that are quickest to have."""
START: Final[Mapping[str, str]] = {
    "ollama": "ollama serve",
    "lm-studio": "lms server start",
    "foundry-local": "foundry service start",
    "lemonade": "lemonade-server serve",
}
"""What starts a server that has many models, by make."""
NAMES: Final[Mapping[str, str]] = {
    "ollama": "Ollama",
    "llama-cpp": "llama.cpp",
    "vllm": "vLLM",
    "mlx": "MLX",
    "lm-studio": "LM Studio",
    "foundry-local": "Foundry Local",
    "openvino": "OpenVINO Model Server",
    "lemonade": "Lemonade",
    "localai": "LocalAI",
    "docker-model-runner": "Docker Model Runner",
    "onnx": "ONNX Runtime GenAI",
    "openvino-genai": "OpenVINO GenAI",
    "llama-swap": "llama-swap",
    "litellm": "LiteLLM's proxy",
}
"""What people call a make."""
_LOAD: Final[Mapping[str, str]] = {
    "onnx": "put a build of it into the folder in ONNX_MODELS",
    "openvino-genai": "put a build of it into the folder in OPENVINO_MODELS",
    "llama-swap": "add it to its configuration",
    "litellm": "add it to its configuration",
}
"""For a model of which no name is known, where it is not loaded by a line."""
_FILE: Final = Line("llama-server -m {id} --jinja --port {port}", LINES["llama-cpp"].ports)
"""For an id that is no repository."""


def line_of(make: str, name: str, alias: str, observed: ObservedState) -> str:
    """The line for the model ``name`` of this make, one of the table; on a port that is looked at and free. Where none is, the
    model ``alias`` also needs an endpoint in the manifest."""
    line = LINES[make]
    if make == "llama-cpp" and (name.endswith(".gguf") or "/" not in name):
        line = _FILE
    if not line.ports:
        off = line.start and all(server.provider != make for server in observed.servers)
        return line.text.format(id=shlex.quote(name)) + (
            f" (its server is switched on by: {line.start})" if off else ""
        )
    looked = {port for url, why in observed.silent.items() if why == NOBODY and (port := _port_here(url))}
    found = next((port for port in line.ports if port in looked), None)
    port = found or _free(line.ports, observed)
    typed = line.text.format(id=shlex.quote(name), port=port)
    return typed if found else f"{typed} (with endpoint: http://127.0.0.1:{port} for {alias} in the manifest)"


def name_for(make: str, ids: Mapping[str, Sequence[str]]) -> str:
    """What to ask this make for; empty where nobody knows. LM Studio takes the repositories of llama.cpp, ``REPOSITORY@build``."""
    name = next(iter(ids.get(make, [])), "")
    if name or make != "lm-studio":
        return name
    repository, _, build = next(iter(ids.get("llama-cpp", [])), "").partition(":")
    return f"{repository}@{build.lower()}" if build else repository


def is_pulled(make: str, name: str) -> bool:
    """Whether servers of a make that pull could pull this: llama.cpp's take repositories, and no names of files."""
    return bool(name) and (make != "llama-cpp" or "/" in name)


def nameless(make: str, alias: str) -> str:
    """What to do where nobody knows what this make calls the model."""
    load = _LOAD.get(make, "load it there")
    return (
        f"no name of {alias} is known for {NAMES.get(make, make)}: "
        f"{load}, and write the name that it lists as `model:` of {alias}"
    )


def _free(usual: Sequence[int], observed: ObservedState) -> int:
    """The first port at which nothing was seen, of the usual ones and of those above them."""
    silent = [url for url, why in observed.silent.items() if why != NOBODY]
    taken = {_port_here(url) for url in [*silent, *(server.url for server in observed.servers)]}
    return next(port for port in chain(usual, count(max(usual) + 1)) if port not in taken)


def _port_here(url: str) -> int | None:
    """The port of an address of this device; ``None`` also where it cannot be read."""
    try:
        return urlsplit(url).port if distance_of_url(url) == "node" else None
    except ValueError:
        return None
