"""Any other server of the OpenAI protocol: recognised by a list of models, trusted with nothing that it has not shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from orchestrator.plugins.providers.makes.make import LookAt, Looks, Make, count, declared, objects, text
from orchestrator.ports.provider import Identity, ServedModel

_PATHS: Final = ("/v1/models", "/models", "/v3/models", "/engines/v1/models", "/api/v1/models")
_OF_MODELS: Final = frozenset(("owned_by", "context_length", "max_model_len", "architecture", "meta"))
"""What entries of such lists hold, and hardly those of any other."""
_EMBEDDING_SIGNS: Final = ("embed", "bge-", "e5-", "gte-", "minilm")


def _recognise(url: str, looks: Looks) -> Identity | None:
    for path in _PATHS:
        if _is_list(looks[path].document):
            api_base = f"{url}{path.removesuffix('/models')}"
            return Identity("openai-compatible", url, "", api_base, MAKE.capabilities)
    return None


def _is_list(document: Mapping[str, Any]) -> bool:
    """Whether it is a list of models: ``{"object": "list", "data": [{"id": …}]}``. One of the two may lack its ``object``; both,
    as OpenRouter's do, only where the entries look like models of such a server and not like cars of another one."""
    entries = document.get("data")
    if not isinstance(entries, list):
        return False
    if not entries:
        return document.get("object") == "list"
    if not all(isinstance(entry, dict) and text(entry.get("id")) for entry in entries):
        return False
    told = [entry.get("object") for entry in entries]
    bare = "object" not in document and not any(told) and all(map(_is_bare_model, entries))
    return document.get("object") == "list" or all(word == "model" for word in told) or bare


def _is_bare_model(entry: Mapping[str, Any]) -> bool:
    return not entry.keys() - {"id"} or bool(entry.keys() & _OF_MODELS)


async def _served(look: LookAt) -> tuple[ServedModel, ...]:
    looks = await look(_PATHS)
    looks.need(*_PATHS)
    listed = next((looks[path].document for path in _PATHS if _is_list(looks[path].document)), {})
    return tuple(_model(entry) for entry in objects(listed.get("data")))


def _model(entry: Mapping[str, Any]) -> ServedModel:
    meta = entry.get("meta")
    places = (entry, meta if isinstance(meta, dict) else {})
    names = ("max_model_len", "context_length", "n_ctx")
    context = next((found for place in places for name in names if (found := count(place.get(name)))), None)
    return ServedModel(entry["id"], None, context, kind=_kind(entry["id"]))


def _kind(name: str) -> Literal["embedding", "unknown"]:
    return "embedding" if any(sign in name.lower() for sign in _EMBEDDING_SIGNS) else "unknown"


MAKE: Final = Make(
    kind="openai-compatible",
    summary="any other server of the OpenAI protocol",
    default_urls=("http://127.0.0.1:8000", "http://127.0.0.1:8080", "http://127.0.0.1:13305", "http://127.0.0.1:12434"),
    looks_at=_PATHS,
    recognise=_recognise,
    served=_served,
    capabilities=declared(chat="yes", stream="yes"),
    chooses=True,  # the server of transformers does, and names no make
    keeps_streams=False,  # it may be a llama-server behind something; a new connection costs less than a lost call
    wants="GET /v1/models and POST /v1/chat/completions",
)
