"""Servers that are to be started: their make can be, and nothing else says where the model is."""

from __future__ import annotations

from typing import Final

from orchestrator.manifest.catalogue.reader import find_model
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.spec.server import LAUNCHED, ServerOptions

_OWN_SERVICE: Final = {
    "lm-studio": "LM Studio is an application of its own: start it there",
    "lemonade": "Lemonade is a service of its own: start it there",
    "onnx": "ONNX Runtime has no server",
    "openvino-genai": "OpenVINO GenAI has no server: provider openvino is the one that has",
}
FETCH: Final = {
    "vllm": "model: the id of a repository of Hugging Face, like org/name",
    "mlx": "model: the id of a repository of Hugging Face, like mlx-community/name-4bit",
    "openvino": "model: the id of a repository of Hugging Face, like OpenVINO/name-int4-ov",
}
"""Programs that fetch a model by the id of a repository, and how that is written."""


def check_servers(draft: Draft) -> None:
    """Every ``server`` of a model can be meant."""
    for model in draft.models.values():
        if model.server is not None:
            _check(draft, model, model.server)
    _check_ports(draft)


def _check_ports(draft: Draft) -> None:
    """No two listen at one port: neither two servers, nor a server and the deployment's own door."""
    serve = draft.deployment.serve
    taken: dict[int, str] = {}
    if serve.port is not None:
        taken[serve.port] = f"the deployment itself ({draft.place('deployment', 'serve', 'port')})"
    for model in draft.models.values():
        port = model.server.port if model.server is not None else None
        if port is None:
            continue
        at, keys = f"model.{model.alias}", ("server", "port")
        if port in taken:
            draft.tell(
                "ORC259", f"port {port} is taken by {taken[port]}", (at, keys), cure="write another port, or none"
            )
        taken.setdefault(port, f"the server of {model.alias} ({draft.place(at, *keys)})")


def _check(draft: Draft, model: ModelEntry, server: ServerOptions) -> None:
    at = f"model.{model.alias}"
    known = ", ".join(LAUNCHED)
    if model.provider is None:
        message = "a server that is to be started needs its provider"
        draft.tell("ORC228", message, (at, ("server",)), cure=f"add provider: one of {known}")
    elif model.provider not in LAUNCHED:
        why = _OWN_SERVICE.get(model.provider, "it is not known how")
        message = f"the orchestrator does not start {model.provider}: {why}"
        draft.tell("ORC228", message, (at, ("server",)), cure=f"take server out, or write provider: one of {known}")
    elif model.endpoint is not None:
        message = "endpoint says where a server is, and server starts another one"
        draft.tell("ORC228", message, (at, ("endpoint",)), cure="keep one of them")
    elif model.zone not in (None, "node"):
        draft.tell("ORC228", "a server that is started here is on this device", (at, ("zone",)), cure="take zone out")
    elif model.provider == "llama-cpp" and server.path is None:
        message = "llama-server needs the model's file"
        draft.tell("ORC228", message, (at, ("server",)), cure="add path: the path of a GGUF file")
    elif model.provider in FETCH and server.path is None and _is_nameless(model):
        message = f"nobody knows what {model.alias} is called where {model.provider} fetches models"
        cure = f"add {FETCH[model.provider]}, or path: where the model is on this device"
        draft.tell("ORC228", message, (at, ("server",)), cure=cure)


def _is_nameless(model: ModelEntry) -> bool:
    """Whether neither the manifest nor the catalogue has an id for its provider."""
    row = find_model(model.alias)
    named = model.model or model.model_id or "/" in model.alias
    return not named and (row is None or model.provider not in row["ids"])
