"""Lemonade. Recognised by ``/v1/health`` (older: ``/api/v1/health``) with ``all_models_loaded``, before that by
``checkpoint_loaded``, or by ``owned_by: lemonade`` in its list of models. What a model can do is up to the engine below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from orchestrator.plugins.providers.makes.make import Look, LookAt, Looks, Make, but, count, declared, objects, text
from orchestrator.ports.provider import Identity, ServedModel

_BASES: Final = ("/v1", "/api/v1")


def _recognise(url: str, looks: Looks) -> Identity | None:
    for base in _BASES:
        health, models = looks[f"{base}/health"].document, looks[f"{base}/models"]
        if _tells_models(health) or _owns(models):
            before = () if "all_models_loaded" in health or not health else ("tells only its newest model",)
            able = but(MAKE.capabilities, load="no", pull="no", remove="no") if before else MAKE.capabilities
            return Identity("lemonade", url, text(health.get("version")), f"{url}{base}", able, before)
    return None


def _tells_models(health: Mapping[str, Any]) -> bool:
    return "model_loaded" in health and bool({"all_models_loaded", "checkpoint_loaded"} & health.keys())


def _owns(models: Look) -> bool:
    return any(card.get("owned_by") == "lemonade" for card in objects(models.document.get("data")))


async def _served(look: LookAt) -> tuple[ServedModel, ...]:
    looks = await look(tuple(f"{base}{path}" for base in _BASES for path in ("/models", "/health")))
    looks.need(*(f"{base}/models" for base in _BASES))
    base = next((base for base in _BASES if looks[f"{base}/models"].status == 200), "")
    health = looks[f"{base}/health"].document
    running = {text(entry.get("model_name")): entry for entry in objects(health.get("all_models_loaded"))}
    if not running and text(health.get("model_loaded")):
        running = {health["model_loaded"]: {}}
    cards = objects(looks[f"{base}/models"].document.get("data"))
    return tuple(_model(card, running.get(card["id"])) for card in cards if text(card.get("id")))


def _model(card: Mapping[str, Any], running: Mapping[str, Any] | None) -> ServedModel:
    options = running.get("recipe_options") if running else None
    context = count(options.get("ctx_size")) if isinstance(options, dict) else None
    context = context if running else count(card.get("context_length"))
    _, _, build = text(card.get("checkpoint")).partition(":")
    return ServedModel(card["id"], running is not None, context, kind=_kind(card), size=_size(card), quantization=build)


def _size(card: Mapping[str, Any]) -> int | None:
    """Bytes; it tells gigabytes."""
    size = card.get("size")
    return round(size * 1e9) if isinstance(size, int | float) and not isinstance(size, bool) and size > 0 else None


def _kind(card: Mapping[str, Any]) -> Literal["chat", "embedding", "unknown"]:
    labels = card.get("labels")
    labels = labels if isinstance(labels, list) else []
    return "embedding" if "embeddings" in labels else "unknown"


MAKE: Final = Make(
    kind="lemonade",
    summary="Lemonade",
    default_urls=("http://127.0.0.1:13305", "http://127.0.0.1:8000"),
    looks_at=tuple(f"{base}{path}" for base in _BASES for path in ("/health", "/models")),
    recognise=_recognise,
    served=_served,
    capabilities=declared(
        chat="yes",
        stream="yes",
        tools="yes",
        logprobs="ignored",
        embeddings="yes",
        context_told="yes",
        slots_told="no",
        load="yes",
        pull="yes",
        remove="yes",
    ),
    oldest="9.1",
    keeps_streams=False,  # the engine below may be a llama-server
    url_variable="LEMONADE_URL",
    wants="lemonade-server serve, and lemonade-server pull for each model",
)
