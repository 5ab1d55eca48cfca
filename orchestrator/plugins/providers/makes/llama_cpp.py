"""llama.cpp's llama-server, with one model or as a router of several.

Recognised by ``build_info`` or ``role: router`` in ``/props``, by ``owned_by: llamacpp`` in its list of models, or (while
it loads, or wants a key) by the name that it gives in the header ``Server``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from orchestrator.core.gguf_builds import build_of_words
from orchestrator.plugins.providers.body import Dialect
from orchestrator.plugins.providers.makes.build import digest_of_gguf, digest_of_told
from orchestrator.plugins.providers.makes.make import (
    LOADING,
    Look,
    LookAt,
    Looks,
    Make,
    but,
    count,
    declared,
    inner,
    objects,
    text,
)
from orchestrator.ports.provider import Identity, ServedModel


def _recognise(url: str, looks: Looks) -> Identity | None:
    props, models = looks["/props"], looks["/v1/models"]
    router = props.document.get("role") == "router"
    build = text(props.document.get("build_info"))
    owners = {text(entry.get("owned_by")) for entry in objects(models.document.get("data"))}
    if not (router or build or "llamacpp" in owners or _names_itself(looks)):
        return None
    coming = [entry for entry in objects(models.document.get("data")) if router and _is_coming(entry)]
    notes = (
        *(["router of several models"] if router else []),
        *(f"downloads {text(entry.get('id'))}" for entry in coming),
    )
    able = MAKE.capabilities if router else but(MAKE.capabilities, load="no", pull="no", remove="no")
    return Identity("llama-cpp", url, build, f"{url}/v1", able, notes + _troubles(looks))


def _names_itself(looks: Looks) -> bool:
    return any(look.headers.get("server") == "llama.cpp" for look in looks.values())


def _troubles(looks: Looks) -> tuple[str, ...]:
    if looks["/health"].status == 503:
        return (LOADING,)
    return ("wants an API key",) if looks["/v1/models"].status == 401 else ()


async def _served(look: LookAt) -> tuple[ServedModel, ...]:
    looks = await look(("/v1/models", "/props"))
    looks.need("/v1/models")
    looks.need_each("/props")
    entries = objects(looks["/v1/models"].document.get("data"))
    if looks["/props"].document.get("role") == "router":
        return await _routed([entry for entry in entries if not _is_coming(entry)], look)
    abilities = _abilities(looks["/v1/models"])
    named = [entry for entry in entries if text(entry.get("id"))]
    props = looks["/props"]
    file = await digest_of_gguf(text(props.document.get("model_path")))
    template = text(props.document.get("chat_template"))
    return tuple(
        replace(_single(entry, props, abilities), digest=file or digest_of_told(inner(entry, "meta"), template))
        for entry in named
    )


def _abilities(listed: Look) -> set[str]:
    found: set[str] = set()
    for entry in objects(listed.document.get("models")):
        found.update(name for name in entry.get("capabilities") or () if isinstance(name, str))
    return found


def _single(entry: Mapping[str, Any], props: Look, abilities: set[str]) -> ServedModel:
    kind: Literal["chat", "embedding"] = "embedding" if abilities == {"embedding"} else "chat"
    context = _context_per_slot(props) or count(inner(entry, "meta").get("n_ctx"))
    return ServedModel(entry["id"], True, context, count(props.document.get("total_slots")), kind, **_weights(entry))


def _weights(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Told of what is loaded only."""
    meta = inner(entry, "meta")
    words = text(meta.get("ftype"))  # ``Q4_K - Medium``; what it only guessed is shown as it says it
    return {"size": count(meta.get("size")), "quantization": build_of_words(words).upper() or words}


def _context_per_slot(props: Look) -> int | None:
    return count(inner(props.document, "default_generation_settings").get("n_ctx"))


async def _routed(entries: list[dict[str, Any]], look: LookAt) -> tuple[ServedModel, ...]:
    """Loaded models tell their slots; the others are loaded by their first request, so they are not asked."""
    paths = {entry["id"]: f"/props?model={entry['id']}&autoload=false" for entry in entries if _is_loaded(entry)}
    looks = await look(tuple(paths.values())) if paths else Looks()
    return tuple(
        [
            replace(_routed_model(entry, looks[paths.get(entry["id"], "")]), digest=await digest_of_gguf(_file(entry)))
            for entry in entries
            if text(entry.get("id"))
        ]
    )


def _file(entry: Mapping[str, Any]) -> str:
    """The file that a router starts its model with: told also of what is not loaded, so that the digest stays the same."""
    words = [word for word in inner(entry, "status").get("args") or () if isinstance(word, str)]
    return words[words.index("--model") + 1] if "--model" in words[:-1] else ""


def _is_coming(entry: Mapping[str, Any]) -> bool:
    """Whether it is still being downloaded: no model yet, and a request for it is an error."""
    return inner(entry, "status").get("value") == "downloading"


def _is_loaded(entry: Mapping[str, Any]) -> bool:
    return inner(entry, "status").get("value") == "loaded" and bool(text(entry.get("id")))


def _routed_model(entry: Mapping[str, Any], props: Look) -> ServedModel:
    slots = count(props.document.get("total_slots"))
    return ServedModel(entry["id"], _is_loaded(entry), _context_per_slot(props), slots, "chat", **_weights(entry))


MAKE: Final = Make(
    kind="llama-cpp",
    summary="llama.cpp's llama-server",
    default_urls=("http://127.0.0.1:8080", "http://127.0.0.1:9931"),
    looks_at=("/props", "/v1/models", "/health"),
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
        grammar="yes",
        logprobs="yes",
        context_told="yes",
        slots_told="yes",
        overflow_refused="yes",
        load="yes",  # these three as a router only
        pull="yes",
        remove="yes",
    ),
    dialect=Dialect(
        tool_choice="words", progress=True
    ),  # a function named in tool_choice is ignored with a line in its log
    keeps_streams=False,  # it closes the connection after a stream, without saying so in a header
    url_variable="LLAMA_SERVER_URL",
    wants="llama-server -m MODEL.gguf --jinja",
    stores=(
        "$HF_HUB_CACHE",
        "$HF_HOME/hub",
        "$XDG_CACHE_HOME/huggingface/hub",
        "~/.cache/huggingface/hub",
        "~/.cache/llama.cpp",
    ),
    store_variable="LLAMA_CACHE",
)
