"""What a user types so that a server of some make serves a model; for those in a folder of files, what to do. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final
from urllib.parse import urlsplit

from orchestrator.plan.observed import ObservedState


@dataclass(frozen=True, slots=True)
class Line:
    """``text`` with ``{id}``; with ``{port}`` too where one process serves one model: then ``ports`` are those that its make is
    looked for at."""

    text: str
    ports: tuple[int, ...] = ()


LINES: Final[Mapping[str, Line]] = {
    "ollama": Line("ollama pull {id}"),
    "llama-cpp": Line("llama-server -hf {id} --jinja --port {port}", (8080, 9931)),
    "vllm": Line("vllm serve {id} --port {port}", (8000,)),
    "mlx": Line("mlx_lm.server --model {id} --port {port}", (8080,)),
    "lm-studio": Line("lms get {id}"),
    "foundry-local": Line("foundry model run {id}"),
    "openvino": Line(
        "ovms --rest_port {port} --source_model {id} --model_repository_path models --task text_generation", (8000,)
    ),
    "lemonade": Line("lemonade-server pull {id}"),
    "localai": Line("local-ai run {id}"),
    "docker-model-runner": Line("docker model pull {id}"),
    "onnx": Line("put {id} into the folder in ONNX_MODELS"),
    "openvino-genai": Line("put {id} into the folder in OPENVINO_MODELS"),
}
"""By make, those first that are quickest to have."""
_FILE: Final = Line("llama-server -m {id} --jinja --port {port}", LINES["llama-cpp"].ports)
"""For an id that is no repository."""


def line_of(make: str, name: str, alias: str, observed: ObservedState) -> str:
    """The line for the model ``name`` of this make; on a port that is free and looked at. Where none is, the model ``alias`` also
    needs an endpoint in the manifest. ``make`` is one of the table."""
    line = LINES[make]
    if make == "llama-cpp" and (name.endswith(".gguf") or "/" not in name):
        line = _FILE
    if not line.ports:
        return line.text.format(id=shlex.quote(name))
    taken = set(_taken(observed))
    free = next((port for port in line.ports if port not in taken), None)
    port = free or next(port for port in count(max(line.ports) + 1) if port not in taken)
    typed = line.text.format(id=shlex.quote(name), port=port)
    return typed if free else f"{typed} (with endpoint: http://127.0.0.1:{port} for {alias} in the manifest)"


def _taken(observed: ObservedState) -> Iterable[int | None]:
    """Ports of this device at which something answers."""
    return (urlsplit(server.url).port for server in observed.servers if server.zone == "node")
