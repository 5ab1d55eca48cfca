"""LM Studio. Recognised by the instances in ``/api/v1/models`` (since 0.4), the states in ``/api/v0/models`` (before), or
``/lmstudio-greeting``. It answers 200 with an error object to paths that it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from orchestrator.plugins.providers.body import Dialect
from orchestrator.plugins.providers.makes.make import LookAt, Looks, Make, but, count, declared, inner, objects, text
from orchestrator.ports.provider import Identity, ServedModel


def _recognise(url: str, looks: Looks) -> Identity | None:
    new = any("loaded_instances" in entry for entry in _new_rows(looks))
    old = any("state" in entry and "max_context_length" in entry for entry in _old_rows(looks))
    greets = looks["/lmstudio-greeting"].document.get("lmstudio") is True
    if not (new or old or greets):
        return None
    notes = ("before 0.4: slots are not told",) if old and not new else ()
    able = but(MAKE.capabilities, load="no", pull="no") if notes else MAKE.capabilities
    return Identity("lm-studio", url, "", f"{url}/v1", able, notes)


def _new_rows(looks: Looks) -> list[dict[str, Any]]:
    return objects(looks["/api/v1/models"].document.get("models"))


def _old_rows(looks: Looks) -> list[dict[str, Any]]:
    return objects(looks["/api/v0/models"].document.get("data"))


async def _served(look: LookAt) -> tuple[ServedModel, ...]:
    looks = await look(("/api/v1/models", "/api/v0/models"))
    looks.need("/api/v1/models", "/api/v0/models")
    rows = _new_rows(looks)
    if rows or "models" in looks["/api/v1/models"].document:
        return tuple(model for row in rows for model in _new_models(row))
    return tuple(_old_model(row) for row in _old_rows(looks) if text(row.get("id")))


def _new_models(row: Mapping[str, Any]) -> list[ServedModel]:
    """A loaded instance has a name of its own; a model that is not loaded is loaded by its first call."""
    kind = _kind(row)
    instances = [entry for entry in objects(row.get("loaded_instances")) if text(entry.get("id"))]
    if not instances:
        return [ServedModel(row["key"], False, kind=kind, **_weights(row))] if text(row.get("key")) else []
    return [_instance(entry, kind, row) for entry in instances]


def _instance(entry: Mapping[str, Any], kind: Literal["chat", "embedding"], row: Mapping[str, Any]) -> ServedModel:
    config = inner(entry, "config")
    context, slots = count(config.get("context_length")), count(config.get("parallel"))
    return ServedModel(entry["id"], True, context, slots, kind, **_weights(row))


def _weights(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"size": count(row.get("size_bytes")), "quantization": text(inner(row, "quantization").get("name"))}


def _old_model(row: Mapping[str, Any]) -> ServedModel:
    context = count(row.get("loaded_context_length"))
    return ServedModel(row["id"], row.get("state") == "loaded", context, kind=_kind(row))


def _kind(row: Mapping[str, Any]) -> Literal["chat", "embedding"]:
    return "embedding" if text(row.get("type")).startswith("embedding") else "chat"


MAKE: Final = Make(
    kind="lm-studio",
    summary="LM Studio",
    default_urls=("http://127.0.0.1:1234",),
    looks_at=("/api/v1/models", "/api/v0/models", "/lmstudio-greeting"),
    recognise=_recognise,
    served=_served,
    capabilities=declared(
        chat="yes",
        stream="yes",
        stream_usage="yes",
        tools="yes",
        tool_named="ignored",
        tool_required="yes",
        tool_none="yes",
        json_schema="yes",
        logprobs="ignored",
        embeddings="yes",
        context_told="yes",
        slots_told="yes",
        load="yes",
        pull="yes",
        remove="no",
    ),
    dialect=Dialect(tool_choice="words"),
    url_variable="LM_STUDIO_URL",
    stores=("~/.lmstudio/models", "~/.cache/lm-studio/models"),
    wants="the local server switched on (lms server start)",
)
