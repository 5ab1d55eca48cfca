"""Foundry Local: the web service of its SDK 2, and the older background service.

Recognised by ``/status`` (2: ``modelCachePath`` and ``endpoints``) or ``/openai/status`` (older: ``ModelDirPath`` and
``Endpoints``). Chat takes the full id of a variant and loads nothing by itself, so only what is loaded is listed.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.plugins.providers.body import Dialect
from orchestrator.plugins.providers.makes.make import Look, LookAt, Looks, Make, but, declared, objects, text
from orchestrator.ports.provider import Identity, ServedModel


def _recognise(url: str, looks: Looks) -> Identity | None:
    if {"modelcachepath", "endpoints"} <= _names(looks["/status"]):
        return Identity("foundry-local", url, "2", f"{url}/v1", but(MAKE.capabilities, pull="no"))
    if {"modeldirpath", "endpoints"} <= _names(looks["/openai/status"]):
        return Identity("foundry-local", url, "1", f"{url}/v1", MAKE.capabilities, ("the older service",))
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
        pull="yes",  # the older service only
        remove="no",
    ),
    # It takes the json_schema object whole for the schema, where others look for a wrapper: sent so that both are right.
    dialect=Dialect(schema="both", grammar="lark_grammar"),
    assumed_slots=1,  # calls within its session are serialised
    url_variable="FOUNDRY_LOCAL_ENDPOINT",
    lists_loaded_only=True,
    stores=("~/.foundry/cache/models",),
    wants="foundry server start, the model loaded, and its address in FOUNDRY_LOCAL_ENDPOINT: its port is a random one",
)
