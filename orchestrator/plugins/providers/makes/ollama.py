"""Ollama. Recognised by ``/api/version`` and the list of ``/api/tags``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from orchestrator.core.names import is_cloud_tag
from orchestrator.plugins.providers.body import Dialect
from orchestrator.plugins.providers.makes.make import LookAt, Looks, Make, Since, count, declared, inner, objects, text
from orchestrator.ports.provider import Identity, ServedModel

_EMBEDDING_FAMILIES: Final = frozenset(("bert", "nomic-bert", "nomic-bert-moe", "gemma-embedding"))


def _recognise(url: str, looks: Looks) -> Identity | None:
    version = text(looks["/api/version"].document.get("version"))
    if not version or not isinstance(looks["/api/tags"].document.get("models"), list):
        return None
    return Identity("ollama", url, version, f"{url}/v1", MAKE.capabilities)


async def _served(look: LookAt) -> tuple[ServedModel, ...]:
    looks = await look(("/api/tags", "/api/ps"))
    looks.need("/api/tags")
    looks.need_each("/api/ps")
    running = {_name(entry): entry for entry in objects(looks["/api/ps"].document.get("models"))}
    known = objects(looks["/api/tags"].document.get("models"))
    return tuple(_model(entry, running.get(_name(entry))) for entry in known if _name(entry))


def _name(entry: Mapping[str, Any]) -> str:
    return text(entry.get("name")) or text(entry.get("model"))


def _model(entry: Mapping[str, Any], running: Mapping[str, Any] | None) -> ServedModel:
    name = _name(entry)
    return ServedModel(
        id=name,
        loaded=running is not None,
        context=count(running.get("context_length")) if running else None,
        kind=_kind(entry),
        remote=bool(entry.get("remote_host") or entry.get("remote_model") or is_cloud_tag(name)),
        size=count(entry.get("size")),
        quantization=text(inner(entry, "details").get("quantization_level")),
        digest=text(entry.get("digest")),
    )


def _kind(entry: Mapping[str, Any]) -> Literal["chat", "embedding", "unknown"]:
    abilities = entry.get("capabilities")
    if isinstance(abilities, list):
        return "chat" if "completion" in abilities else "embedding" if "embedding" in abilities else "unknown"
    family = text(inner(entry, "details").get("family"))
    return "embedding" if family in _EMBEDDING_FAMILIES else "unknown"


MAKE: Final = Make(
    kind="ollama",
    summary="Ollama",
    default_urls=("http://127.0.0.1:11434",),
    looks_at=("/api/version", "/api/tags"),
    recognise=_recognise,
    served=_served,
    capabilities=declared(
        chat="yes",
        stream="yes",
        stream_usage="yes",
        tools="yes",
        tool_choice="ignored",
        json_schema="yes",
        grammar="ignored",
        embeddings="yes",
        context_told="yes",
        slots_told="no",
        overflow_refused="ignored",  # the oldest messages are left out
        load="yes",
        pull="yes",
        remove="yes",
    ),
    since=(
        Since("0.3.0", {"tools": "ignored"}),
        Since("0.5.0", {"json_schema": "ignored"}),
    ),
    oldest="0.5.0",
    dialect=Dialect(tool_choice="offer"),
    assumed_slots=1,  # OLLAMA_NUM_PARALLEL
    url_variable="OLLAMA_HOST",
    wants="ollama serve, and ollama pull for each model",
    stores=("~/.ollama/models", "/usr/share/ollama/.ollama/models"),  # the second is that of its systemd unit
    store_variable="OLLAMA_MODELS",
)
