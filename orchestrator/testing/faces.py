"""The faces of model servers: what each make answers when it is asked who it is and what it serves.

The shapes were recorded from real servers or read from their sources (``docs/providers.md`` says which). They make a
simulated endpoint look like that make to discovery; its chat is the OpenAI protocol in any case. Pure.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.face import JSON as _JSON
from orchestrator.testing.face import Document, Face
from orchestrator.testing.face import is_embedding as _is_embedding
from orchestrator.testing.face import listed as _list
from orchestrator.testing.face import model_cards as _cards
from orchestrator.testing.face import ok as _ok
from orchestrator.testing.faces_of_gateways import MORE_FACES


def _openai(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    return {"/v1/models": _list(_cards(endpoint, "simulated"))}


def _ollama(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    rows = [_ollama_row(name) for name in endpoint.models]
    running = [{**row, "expires_at": "2026-01-01T00:05:00Z", "size_vram": 0} for row in rows[:1]]
    running = [{**row, "context_length": endpoint.context} for row in running if "remote_host" not in row]
    return {
        "/": (200, "text/plain", "Ollama is running"),
        "/api/version": _ok({"version": "0.33.0"}),
        "/api/tags": _ok({"models": rows}),
        "/api/ps": _ok({"models": running}),
        "/v1/models": _list(_cards(endpoint, "library")),
    }


def _ollama_old(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """Before calls of functions and schemas."""
    return {**_ollama(endpoint), "/api/version": _ok({"version": "0.1.48"})}


def _ollama_row(name: str) -> dict[str, Any]:
    family = "nomic-bert" if _is_embedding(name) else "phi3"
    row: dict[str, Any] = {
        "name": name,
        "model": name,
        "modified_at": "2026-01-01T00:00:00Z",
        "size": 2_500_000_000,
        "digest": "0" * 64,
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": family,
            "families": [family],
            "parameter_size": "3.8B",
            "quantization_level": "Q4_K_M",
        },
    }
    if name.endswith(("cloud", "-cloud")):
        row |= {"remote_model": name.partition(":")[0], "remote_host": "https://ollama.com:443", "size": 384}
    return row


def _llama_cpp(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    name = endpoint.models[0]
    meta = {"vocab_type": 2, "n_vocab": 1024, "n_ctx": endpoint.context, "n_ctx_train": 4096, "n_params": 558_000}
    card = {"id": name, "object": "model", "created": 0, "owned_by": "llamacpp", "meta": meta}
    old = {"name": name, "model": name, "capabilities": ["completion"], "details": {"format": "gguf"}}
    props = {
        "default_generation_settings": {"n_ctx": endpoint.context, "params": {}},
        "total_slots": endpoint.slots,
        "model_path": f"/models/{name}.gguf",
        "build_info": "b6000-0000000",
        "is_sleeping": False,
    }
    return {
        "/health": _ok({"status": "ok"}),
        "/props": _ok(props),
        "/v1/models": _ok({"models": [old], "object": "list", "data": [card]}),
        "/slots": _ok([{"id": number, "n_ctx": endpoint.context} for number in range(endpoint.slots)]),
    }


def _llama_router(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """The first model is loaded."""
    cards = _cards(endpoint, "llamacpp")
    for number, card in enumerate(cards):
        card["status"] = {"value": "unloaded" if number else "loaded", "args": []}
    single = _llama_cpp(endpoint)["/props"]
    return {
        "/health": _ok({"status": "ok"}),
        "/props": _ok({"role": "router", "max_instances": 4, "models_autoload": True}),
        f"/props?model={endpoint.models[0]}&autoload=false": single,
        "/v1/models": _list(cards),
        "/models": _list(cards),
    }


def _vllm(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    cards = _cards(
        endpoint, "vllm", root=endpoint.models[0], parent=None, max_model_len=endpoint.context, permission=[]
    )
    return {
        "/health": (200, "text/plain", ""),
        "/version": _ok({"version": "0.32.0"}),
        "/v1/models": _list(cards),
    }


def _lm_studio(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """The first model is loaded."""
    rows = [_studio_row(name, endpoint, loaded=not number) for number, name in enumerate(endpoint.models)]
    return {
        "/lmstudio-greeting": _ok({"lmstudio": True}),
        "/api/v1/models": _ok({"models": rows}),
        "/v1/models": _list(_cards(endpoint, "organization_owner")),
    }


def _studio_row(name: str, endpoint: SimulatedEndpoint, loaded: bool) -> dict[str, Any]:
    config = {"context_length": endpoint.context, "eval_batch_size": 512, "parallel": endpoint.slots}
    return {
        "type": "embedding" if _is_embedding(name) else "llm",
        "publisher": "somebody",
        "key": name,
        "display_name": name,
        "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
        "size_bytes": 2_500_000_000,
        "loaded_instances": [{"id": name, "config": config}] if loaded else [],
        "max_context_length": 131_072,
        "format": "gguf",
    }


def _lm_studio_old(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    rows = [
        {
            "id": name,
            "object": "model",
            "type": "embeddings" if _is_embedding(name) else "llm",
            "state": "not-loaded" if number else "loaded",
            "max_context_length": 131_072,
            **({} if number else {"loaded_context_length": endpoint.context}),
        }
        for number, name in enumerate(endpoint.models)
    ]
    return {
        "/api/v0/models": _ok({"object": "list", "data": rows}),
        "/v1/models": _list(_cards(endpoint, "organization_owner")),
    }


def _foundry(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """Its catalogue also lists what is not loaded."""
    cards = [*_cards(endpoint, "foundry"), {"id": "another-model-generic-cpu:1", "object": "model"}]
    return {
        "/status": _ok({"endpoints": ["http://127.0.0.1:0"], "modelCachePath": "/cache", "pid": 1}),
        "/models/loaded": _ok(list(endpoint.models)),
        "/v1/models": _list(cards),
    }


def _foundry_old(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    return {
        "/openai/status": _ok({"Endpoints": ["http://127.0.0.1:5272"], "ModelDirPath": "/cache", "PipeName": "pipe"}),
        "/openai/models": _ok([*endpoint.models, "another-model-generic-cpu"]),
        "/openai/loadedmodels": _ok(list(endpoint.models)),
        "/foundry/list": _ok({"models": []}),
    }


def _website(_endpoint: SimulatedEndpoint) -> dict[str, Document]:
    return {"/": (200, "text/html", "<!DOCTYPE html><html><title>A wiki</title></html>")}


def _other_api(_endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """A _JSON API that is no model server, with paths of the same names."""
    return {
        "/version": _ok({"version": "3.1"}),
        "/status": _ok({"status": "ok"}),
        "/health": _ok({"status": "ok"}),
        "/v1/models": _ok({"data": [{"id": "1", "make": "Volvo"}]}),
        "/api/v1/models": _ok({"models": [{"name": "Corolla"}]}),
        "/v2": _ok({"name": "triton", "version": "2.40.0", "extensions": []}),
        "/v1/config": _ok({"theme": "dark"}),
        "/v1/health": _ok({"status": "ok", "model_loaded": True}),
        "/running": _ok({"running": True}),
        "/system": _ok({"backends": 3, "loaded_models": 0}),
        "/health/readiness": _ok({"status": "UP"}),
    }


_STUDIO_MISSING: Final[Document] = (
    200,
    _JSON,
    {"error": "Unexpected endpoint or method. (GET /). Returning 200 anyway"},
)
_OATPP: Final[Document] = (404, "text/plain", "server=oatpp/1.3.0\ncode=404\ndescription=Not Found\n")
_HTML_MISSING: Final[Document] = (404, "text/html", "<!DOCTYPE html><html><title>404</title></html>")
_PLAIN_MISSING: Final[Document] = (404, "text/plain", "404 page not found")

FACES: Final[dict[str, Face]] = {
    face.name: face
    for face in (
        Face("openai", _openai),
        Face("ollama", _ollama, _PLAIN_MISSING, ignores=frozenset(("tool_choice", "grammar", "overflow"))),
        Face(
            "ollama-old",
            _ollama_old,
            _PLAIN_MISSING,
            ignores=frozenset(("tools", "tool_choice", "schema", "grammar", "overflow")),
        ),
        Face(
            "llama-cpp",
            _llama_cpp,
            headers={"Server": "llama.cpp"},
            any_model=True,
            closes_streams=True,
            open_paths=("/health",),
            embeds=False,
            ignores=frozenset(("tool_named",)),
        ),
        Face(
            "llama-cpp-router",
            _llama_router,
            headers={"Server": "llama.cpp"},
            closes_streams=True,
            open_paths=("/health",),
            ignores=frozenset(("tool_named",)),
        ),
        Face("vllm", _vllm, (404, _JSON, {"detail": "Not Found"}), {"Server": "uvicorn"}),
        Face(
            "vllm-without-calls",
            _vllm,
            (404, _JSON, {"detail": "Not Found"}),
            {"Server": "uvicorn"},
            refuses_tools='"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        ),
        Face("lm-studio", _lm_studio, _STUDIO_MISSING, ignores=frozenset(("tool_named", "logprobs"))),
        Face("lm-studio-v0", _lm_studio_old, _STUDIO_MISSING, ignores=frozenset(("tool_named", "logprobs"))),
        Face("foundry-local", _foundry, _OATPP, ignores=frozenset(("logprobs",))),
        Face("foundry-local-v1", _foundry_old, (404, "text/plain", ""), ignores=frozenset(("logprobs",))),
        *MORE_FACES,
        Face("website", _website, _HTML_MISSING, chats=False),
        Face("other-api", _other_api, chats=False),
    )
}
"""By name. ``website`` and ``other-api`` are servers that have nothing to do with models."""
