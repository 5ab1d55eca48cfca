"""Foundry Local: the web service of its SDK 2, and the older background service.

Recognised by ``/status`` (2: ``modelCachePath`` and ``endpoints``) or ``/openai/status`` (older: ``ModelDirPath`` and
``Endpoints``). Chat takes the full id of a variant and loads nothing by itself, so only what is loaded is listed; what its cache
holds beside that, its SDK tells (``lifecycle/foundry_store.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from orchestrator.core.hosts import distance_of_url
from orchestrator.plugins.providers.body import Dialect
from orchestrator.plugins.providers.makes.foundry_variant import Variant
from orchestrator.plugins.providers.makes.make import Look, LookAt, Looks, Make, but, declared, objects, text
from orchestrator.ports.provider import Identity, ServedModel


def _recognise(url: str, looks: Looks) -> Identity | None:
    if {"modelcachepath", "endpoints"} <= _names(looks["/status"]):
        return Identity("foundry-local", url, "2", f"{url}/v1", but(MAKE.capabilities, pull="no", remove="no"))
    if {"modeldirpath", "endpoints"} <= _names(looks["/openai/status"]):
        able = but(MAKE.capabilities, remove="no")
        return Identity("foundry-local", url, "1", f"{url}/v1", able, ("the older service",))
    return None


def _names(look: Look) -> set[str]:
    return {name.lower() for name in look.document}


async def _served(look: LookAt) -> tuple[ServedModel, ...]:
    looks = await look(("/models/loaded", "/openai/loadedmodels", "/v1/models"))
    looks.need("/models/loaded", "/openai/loadedmodels")
    loaded = looks["/models/loaded"].rows or looks["/openai/loadedmodels"].rows
    tasks = {card.get("id"): _task(card) for card in objects(looks["/v1/models"].document.get("data"))}
    return tuple(_model(name, tasks.get(name, "")) for name in loaded if text(name))


def _task(card: dict[str, Any]) -> str:
    return text(card.get("task")) or text(card.get("type"))


def _model(name: str, task: str) -> ServedModel:
    return ServedModel(name, True, kind="embedding" if "embed" in f"{task} {name}".lower() else "chat")


def cache_of(url: str, status: Mapping[str, Any]) -> Path | None:
    """Where a 2.x keeps its models, by its ``/status``; ``None`` where that is no folder of this device, or a path that only it
    can read."""
    told = next((text(value) for name, value in status.items() if name.casefold() == "modelcachepath"), "")
    place = Path(told) if told else None
    near = place is not None and place.is_absolute() and distance_of_url(url) == "node"
    return place if near and place is not None and place.is_dir() else None


def with_cache(loaded: Iterable[ServedModel], variants: Iterable[Variant]) -> tuple[ServedModel, ...]:
    """What is loaded, with what the catalogue tells of it, and then what is only in the cache."""
    told = {variant.id: variant for variant in variants}
    models = {model.id: model for model in loaded}
    cached = {name: _model(name, "") for name, variant in told.items() if variant.cached and name not in models}
    cached = {name: replace(model, loaded=False) for name, model in cached.items()}
    return tuple(_told(model, told.get(name)) for name, model in (models | cached).items())


def _told(model: ServedModel, variant: Variant | None) -> ServedModel:
    if variant is None:
        return model
    kind = _model(variant.id, variant.task).kind
    return replace(model, context=variant.context, size=variant.size, kind=kind, alias=variant.alias)


MAKE: Final = Make(
    kind="foundry-local",
    summary="Foundry Local",
    default_urls=("http://127.0.0.1:5273", "http://127.0.0.1:5272"),
    looks_at=("/status", "/openai/status"),
    recognise=_recognise,
    served=_served,
    capabilities=declared(
        chat="yes",
        stream="yes",
        stream_usage="yes",
        tools="yes",
        tool_choice="yes",
        json_schema="yes",
        grammar="yes",  # in response_format, as lark_grammar
        logprobs="ignored",
        embeddings="yes",
        context_told="no",
        slots_told="no",
        overflow_refused="yes",
        load="yes",
        pull="yes",  # the older service; 2.x on this device by its SDK
        remove="yes",  # 2.x on this device by its SDK
    ),
    # It takes the json_schema object whole for the schema, where others look for a wrapper: sent so that both are right.
    dialect=Dialect(schema="both", grammar="lark_grammar"),
    assumed_slots=1,  # calls within its session are serialised
    url_variable="FOUNDRY_LOCAL_ENDPOINT",
    lists_loaded_only=True,
    stores=("~/.foundry/cache/models",),
    wants="foundry server start, and its address in FOUNDRY_LOCAL_ENDPOINT: its port is a random one; without the extra foundry "
    "also the model loaded",
)
