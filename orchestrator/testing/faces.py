"""The faces of model servers: what each make answers when it is asked who it is and what it serves.

The shapes were recorded from real servers or read from their sources (``docs/providers.md`` says which). They make a
simulated endpoint look like that make to discovery; its chat is the OpenAI protocol in any case. Pure.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.testing.endpoint import Record, SimulatedEndpoint
from orchestrator.testing.face import JSON as _JSON
from orchestrator.testing.face import Document, Face
from orchestrator.testing.face import is_embedding as _is_embedding
from orchestrator.testing.face import listed as _list
from orchestrator.testing.face import model_cards as _cards
from orchestrator.testing.face import ok as _ok
from orchestrator.testing.faces_of_gateways import MORE_FACES
from orchestrator.testing.lifecycle.foundry_local import alias_of
from orchestrator.testing.lifecycle.store import StoredModel


def _openai(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    return {"/v1/models": _list(_cards(endpoint, "simulated"))}


def _ollama(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    rows = {name: _ollama_row(model) for name, model in endpoint.store.installed.items()}
    running = [
        {**rows[name], "expires_at": "2026-01-01T00:05:00Z", "size_vram": 0, "context_length": context}
        for name, context in endpoint.store.loaded.items()
        if "remote_host" not in rows[name]
    ]
    return {
        "/": (200, "text/plain", "Ollama is running"),
        "/api/version": _ok({"version": "0.33.0"}),
        "/api/tags": _ok({"models": list(rows.values())}),
        "/api/ps": _ok({"models": running}),
        "/v1/models": _list(_cards(endpoint, "library")),
    }


def _ollama_old(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """Before calls of functions and schemas."""
    return {**_ollama(endpoint), "/api/version": _ok({"version": "0.1.48"})}


def _ollama_row(model: StoredModel) -> dict[str, Any]:
    name = model.name
    family = "nomic-bert" if _is_embedding(name) else "phi3"
    row: dict[str, Any] = {
        "name": name,
        "model": name,
        "modified_at": "2026-01-01T00:00:00Z",
        "size": model.size,
        "digest": model.digest,
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": family,
            "families": [family],
            "parameter_size": "3.8B",
            "quantization_level": model.quantization,
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
    listed = _ok({"models": [old], "object": "list", "data": [card]})
    return {
        "/health": _ok({"status": "ok"}),
        "/props": _ok(_llama_props(endpoint, name, endpoint.context)),
        "/v1/models": listed,
        "/models": listed,
        "/slots": _ok(_llama_slots(endpoint)),
    }


def _llama_slots(endpoint: SimulatedEndpoint) -> list[dict[str, Any]]:
    running = endpoint.running
    slots = [{"id": number, "n_ctx": endpoint.context, "speculative": False} for number in range(endpoint.slots)]
    return [
        {**slot, "is_processing": False} if number >= len(running) else {**slot, **_llama_work(running[number])}
        for number, slot in enumerate(slots)
    ]


def _llama_work(record: Record) -> dict[str, Any]:
    decoded = {"has_next_token": True, "has_new_line": False, "n_remain": -1, "n_decoded": record.tokens}
    return {"is_processing": True, "id_task": record.number, "next_token": [decoded]}


def _llama_props(endpoint: SimulatedEndpoint, name: str, context: int) -> dict[str, Any]:
    return {
        "default_generation_settings": {"n_ctx": context, "params": {}},
        "total_slots": endpoint.slots,
        "model_path": f"/models/{name}.gguf",
        "build_info": "b6000-0000000",
        "is_sleeping": False,
    }


def _llama_router(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """Its list also tells what is being downloaded, and what a loaded model is made of."""
    store = endpoint.store
    coming = [name for name in store.came if name not in store.installed and name not in store.failed]
    cards = [_router_card(endpoint, name) for name in (*store.installed, *coming)]
    props = {
        f"/props?model={name}&autoload=false": _ok(_llama_props(endpoint, name, context))
        for name, context in store.loaded.items()
    }
    return {
        "/health": _ok({"status": "ok"}),
        "/props": _ok({"role": "router", "max_instances": 4, "models_autoload": True}),
        "/v1/models": _list(cards),
        "/models": _list(cards),
        **props,
    }


_FTYPE: Final = {"F32": "all F32", "Q2_K": "Q2_K - Medium", "Q4_K_M": "Q4_K - Medium", "Q5_K_M": "Q5_K - Medium"}
"""What llama.cpp calls some builds (``llama_model_ftype_name``); others as they are called everywhere."""


def _router_card(endpoint: SimulatedEndpoint, name: str) -> dict[str, Any]:
    store = endpoint.store
    state = "loaded" if name in store.loaded else "loading" if name in store.loading else "unloaded"
    status: dict[str, Any] = {"value": state if name in store.installed else "downloading", "args": []}
    if store.failed.get(name) == "no-memory":
        status |= {"exit_code": 1, "failed": True}
    card = {"id": name, "aliases": [], "object": "model", "owned_by": "llamacpp", "created": 0, "status": status}
    if state == "loaded":
        model = store.installed[name]
        card["meta"] = {
            "n_ctx": store.loaded[name],
            "n_ctx_train": 4096,
            "size": model.size,
            "ftype": _FTYPE.get(model.quantization, model.quantization),
        }
    return card


def _vllm(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    cards = _cards(
        endpoint, "vllm", root=endpoint.models[0], parent=None, max_model_len=endpoint.context, permission=[]
    )
    return {
        "/health": (200, "text/plain", ""),
        "/version": _ok({"version": "0.32.0"}),
        "/v1/models": _list(cards),
        "/metrics": (200, "text/plain; version=0.0.4; charset=utf-8", _vllm_metrics(endpoint)),
    }


def _vllm_metrics(endpoint: SimulatedEndpoint) -> str:
    """In the text format of Prometheus."""
    label, running = f'{{engine="0",model_name="{endpoint.models[0]}"}}', len(endpoint.running)
    told = {
        "num_requests_running": running,
        "num_requests_waiting": sum(not record.outcome for record in endpoint.records) - running,
        "prompt_tokens_total": sum(record.asked.prompt_characters // 4 for record in endpoint.records),
        "generation_tokens_total": sum(record.tokens for record in endpoint.records),
    }
    return "".join(f"vllm:{name}{label} {float(value)}\n" for name, value in told.items())


def _lm_studio(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    rows = [_studio_row(model, endpoint) for model in endpoint.store.installed.values()]
    return {
        "/lmstudio-greeting": _ok({"lmstudio": True}),
        "/api/v1/models": _ok({"models": rows}),
        "/v1/models": _list(_cards(endpoint, "organization_owner")),
    }


def _studio_row(model: StoredModel, endpoint: SimulatedEndpoint) -> dict[str, Any]:
    name, context = model.name, endpoint.store.loaded.get(model.name)
    config = {"context_length": context, "eval_batch_size": 512, "parallel": endpoint.slots}
    return {
        "type": "embedding" if _is_embedding(name) else "llm",
        "publisher": "somebody",
        "key": name,
        "display_name": name,
        "quantization": {"name": model.quantization, "bits_per_weight": 4},
        "size_bytes": model.size,
        "loaded_instances": [{"id": name, "config": config}] if context else [],
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
    """Its catalogue also lists what is not loaded, or not there at all."""
    cards = [*_cards(endpoint, "foundry"), {"id": "another-model-generic-cpu:1", "object": "model"}]
    return {
        "/status": _ok({"endpoints": ["http://127.0.0.1:0"], "modelCachePath": endpoint.store.folder, "pid": 1}),
        "/models/loaded": _ok(list(endpoint.store.loaded)),
        "/v1/models": _list(cards),
    }


def _foundry_entry(model: StoredModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "alias": alias_of(model.name),
        "uri": f"azureml://registries/azureml/models/{model.name}/versions/1",
        "providerType": "AzureFoundry",
        "publisher": "Microsoft",
        "promptTemplate": {"prompt": "{Content}"},
        "runtime": {"deviceType": "CPU", "executionProvider": "CPUExecutionProvider"},
        "fileSizeMb": model.size // (1024 * 1024),
    }


def _foundry_old(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    known = {**endpoint.store.installed, **endpoint.store.library}
    return {
        "/openai/status": _ok(
            {"Endpoints": ["http://127.0.0.1:5272"], "ModelDirPath": endpoint.store.folder, "PipeName": "pipe"}
        ),
        "/openai/models": _ok([*endpoint.models, "another-model-generic-cpu"]),
        "/openai/loadedmodels": _ok(list(endpoint.store.loaded)),
        "/foundry/list": _ok({"models": [_foundry_entry(model) for model in known.values()]}),
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
            counts="template",
        ),
        Face(
            "llama-cpp-router",
            _llama_router,
            headers={"Server": "llama.cpp"},
            closes_streams=True,
            open_paths=("/health",),
            ignores=frozenset(("tool_named",)),
        ),
        Face("vllm", _vllm, (404, _JSON, {"detail": "Not Found"}), {"Server": "uvicorn"}, counts="count"),
        Face(
            "vllm-without-calls",
            _vllm,
            (404, _JSON, {"detail": "Not Found"}),
            {"Server": "uvicorn"},
            refuses_tools='"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        ),
        Face("lm-studio", _lm_studio, _STUDIO_MISSING, ignores=frozenset(("tool_named", "logprobs"))),
        Face("lm-studio-v0", _lm_studio_old, _STUDIO_MISSING, ignores=frozenset(("tool_named", "logprobs"))),
        Face("foundry-local", _foundry, _OATPP, loads_all=True, ignores=frozenset(("logprobs",))),
        Face(
            "foundry-local-v1", _foundry_old, (404, "text/plain", ""), loads_all=True, ignores=frozenset(("logprobs",))
        ),
        *MORE_FACES,
        Face("website", _website, _HTML_MISSING, chats=False),
        Face("other-api", _other_api, chats=False),
    )
}
"""By name. ``website`` and ``other-api`` are servers that have nothing to do with models."""
