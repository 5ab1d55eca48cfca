"""The faces of MLX (recorded from mlx-lm 0.32.2), OpenVINO Model Server, Lemonade and gateways (from their documents and
sources). Pure."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.face import JSON, Document, Face, is_embedding, listed, model_cards, ok


def _mlx(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    cards = [{"id": name, "object": "model", "created": 1_795_670_197} for name in endpoint.models]
    return {"/health": ok({"status": "ok"}), "/v1/models": listed(cards)}


def _mlx_empty(_endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """Without a folder of models its list is an empty answer."""
    return {"/health": ok({"status": "ok"}), "/v1/models": (200, JSON, "")}


def _openvino(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """The first model is loaded."""
    return {
        "/v2": ok({"name": "OpenVINO Model Server", "version": "2026.1.0", "extensions": []}),
        "/v2/health/live": (200, "text/plain", ""),
        "/v3/models": listed(model_cards(endpoint, "OVMS")),
        "/v1/config": ok({name: _ovms_state(not number) for number, name in enumerate(endpoint.models)}),
    }


def _openvino_old(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """It lists its models in its configuration only."""
    about = {"name": "OpenVINO Model Server", "version": "2024.5", "extensions": []}
    return {"/v2": ok(about), "/v1/config": ok({name: _ovms_state(True) for name in endpoint.models})}


def _ovms_state(available: bool) -> dict[str, Any]:
    state = "AVAILABLE" if available else "LOADING"
    status = {"error_code": "OK", "error_message": "OK"}
    return {"model_version_status": [{"version": "1", "state": state, "status": status}]}


def _lemonade(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """What its store holds; where none was given, the first model is loaded."""
    loaded = endpoint.store.loaded if endpoint.store_is_given else {endpoint.models[0]: endpoint.context}
    running = [_lemonade_runs(endpoint, name, context) for name, context in loaded.items()]
    health = {
        "status": "ok",
        "version": "9.4.1",
        "model_loaded": next(iter(loaded), None),
        "all_models_loaded": running,
    }
    models = endpoint.store.installed.values()
    cards = model_cards(endpoint, "lemonade", recipe="llamacpp", downloaded=True)
    for card, model in zip(cards, models, strict=True):
        card["checkpoint"] = f"somebody/model-GGUF:{model.quantization}"
        card["size"] = model.size / 1e9
        card["context_length"] = endpoint.context
        card["labels"] = ["embeddings"] if is_embedding(card["id"]) else []
    paths = {"/health": ok({**health, "max_models": {"llm": 1}}), "/models": listed(cards)}
    return {"/live": ok({"status": "ok"})} | {
        f"{base}{path}": document for base in ("/v1", "/api/v1") for path, document in paths.items()
    }


def _lemonade_runs(endpoint: SimulatedEndpoint, name: str, context: int) -> dict[str, Any]:
    return {
        "model_name": name,
        "checkpoint": "somebody/model-GGUF:Q4_K_M",
        "last_use": 1_732_123_456.789,
        "type": "llm",
        "device": "gpu",
        "pinned": False,
        "is_busy": name in endpoint.store.busy,
        "recipe": "llamacpp",
        "recipe_options": {"ctx_size": context},
        "backend_url": "http://127.0.0.1:8001/v1",
    }


def _lemonade_old(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """One model at a time, below ``/api/v1`` only."""
    health = {
        "status": "ok",
        "version": "8.1.0",
        "checkpoint_loaded": "somebody/model-GGUF:Q4_K_M",
        "model_loaded": endpoint.models[0],
    }
    return {"/api/v1/health": ok(health), "/api/v1/models": listed(model_cards(endpoint, "lemonade"))}


def _llama_swap(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """The first model runs; a model of the cloud is a peer's."""
    cards = model_cards(endpoint, "llama-swap")
    for card in cards:
        if card["id"].endswith("cloud"):
            card["meta"] = {"llamaswap": {"peerID": "titan"}}
    entry = {"model": endpoint.models[0], "state": "ready", "cmd": "llama-server", "ttl": 0}
    stopping = {"model": endpoint.models[-1], "state": "stopping"}
    return {
        "/health": (200, "text/plain", "OK"),
        "/running": ok({"running": [entry, stopping]}),
        "/v1/models": listed(cards),
    }


def _localai(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """The first model is loaded."""
    return {
        "/healthz": (200, "text/plain", "OK"),
        "/system": ok({"backends": ["llama-cpp"], "loaded_models": [{"id": endpoint.models[0]}]}),
        "/version": ok({"version": "v4.2.0 (0123456)"}),
        "/v1/models": ok({"object": "list", "data": [{"id": name, "object": "model"} for name in endpoint.models]}),
    }


def _litellm(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    """Recorded from 1.108.7: its version stands only on the page that is for everybody."""
    return {
        "/health/liveliness": (200, JSON, '"I\'m alive!"'),
        "/health/readiness": ok({"status": "healthy", "db": "Not connected"}),
        "/public/model_hub/info": ok({"docs_title": "LiteLLM API", "litellm_version": "1.108.7", "useful_links": {}}),
        "/v1/models": listed(model_cards(endpoint, "openai")),
        "/models": listed(model_cards(endpoint, "openai")),
    }


def _litellm_old(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    readiness = {"status": "healthy", "db": "Not connected", "litellm_version": "1.60.0", "success_callbacks": []}
    documents = _litellm(endpoint) | {"/health/readiness": ok(readiness)}
    return {path: documents[path] for path in ("/health/readiness", "/v1/models", "/models")}


def _docker(endpoint: SimulatedEndpoint) -> dict[str, Document]:
    cards = model_cards(endpoint, "docker", dmr={"architecture": "phi3", "context_window": 131_072})
    rows = [{"id": "sha256:0", "tags": [name]} for name in endpoint.models]
    return {
        "/": (200, "text/plain", "The service is running."),
        "/models": ok(rows),
        "/version": ok({"version": "v1.0.6"}),
        "/engines/v1/models": listed(cards),
    }


_PLAIN_MISSING: Final[Document] = (404, "text/plain", "404 page not found")
_MLX: Final[dict[str, Any]] = {
    "missing": (404, JSON, "Not Found"),
    "headers": {"Server": "BaseHTTP/0.6 Python/3.11.7"},
    "closes_streams": True,
    "embeds": False,
    "ignores": frozenset(("schema", "tool_choice", "grammar")),
    "comments": True,
    "wants_length": True,
}

MORE_FACES: Final = (
    Face("mlx", _mlx, **_MLX),
    Face("mlx-empty", _mlx_empty, **_MLX),
    Face("openvino", _openvino, hides=frozenset(("id",)), ignores=frozenset(("stream_usage", "grammar"))),
    Face("openvino-old", _openvino_old, hides=frozenset(("id",)), ignores=frozenset(("tools", "schema"))),
    Face("lemonade", _lemonade, closes_streams=True, ignores=frozenset(("logprobs",)), open_paths=("/live",)),
    Face("lemonade-old", _lemonade_old, ignores=frozenset(("logprobs",))),
    Face("llama-swap", _llama_swap, _PLAIN_MISSING, open_paths=("/health",)),
    Face("localai", _localai),
    Face("litellm", _litellm, open_paths=("/health/liveliness", "/health/readiness", "/public/model_hub/info")),
    Face("litellm-old", _litellm_old, open_paths=("/health/readiness",)),
    Face("docker-model-runner", _docker, _PLAIN_MISSING),
)
"""In the table of ``faces.py``."""
