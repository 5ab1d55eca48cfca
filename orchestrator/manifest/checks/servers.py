"""Servers that are to be started: their make can be, and nothing else says where the model is."""

from __future__ import annotations

from typing import Final

from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.spec.server import LAUNCHED, ServerOptions

_OWN_SERVICE: Final = {
    "foundry-local": "Foundry Local is a service of its own, and decides batch size, threads and layers by the device",
    "lm-studio": "LM Studio is an application of its own: start it there",
    "lemonade": "Lemonade is a service of its own: start it there",
    "onnx": "ONNX Runtime has no server",
    "openvino-genai": "OpenVINO GenAI has no server: provider openvino is the one that has",
}


def check_servers(draft: Draft) -> None:
    """Every ``server`` of a model can be meant."""
    for model in draft.models.values():
        if model.server is not None:
            _check(draft, model, model.server)


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
