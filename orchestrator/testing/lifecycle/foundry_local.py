"""Foundry Local's lifecycle paths, of 2.x (recorded from the real core 2.2.1) and of the older service (its reference). Pure."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from orchestrator.testing.lifecycle.acts import Act, Asked, Pieces, Reply, Route, pace
from orchestrator.testing.lifecycle.store import ModelStore, StoredModel, StoreFault


def _load(store: ModelStore, asked: Asked) -> Act:
    model = _of_alias(store, asked.path)
    if model is None:
        return Reply(404, _missing(asked.path))
    try:
        begun = store.load(model.name, store.context, asked.now)
    except StoreFault:
        return Reply(500, _error("Failed to load model: out of memory", "server_error"))
    return Reply(200, {"status": "loaded" if begun else "already_loaded"}, store.wait(model.name, asked.now))


def _unload(store: ModelStore, asked: Asked) -> Act:
    model = _of_alias(store, asked.path)
    if model is None:
        return Reply(404, _missing(asked.path))
    if model.name in store.busy:
        return Reply(500, _error("Cannot unload: sessions are active", "server_error"))
    there = model.name in store.loaded
    store.unload(model.name)
    return Reply(200, {"status": "unloaded" if there else "not_loaded"})


def _missing(path: str) -> dict[str, Any]:
    alias = unquote(path.rpartition("/")[2])
    return _error(f"Model not found: No model matching '{alias}'", "invalid_request_error")


def _error(message: str, label: str) -> dict[str, Any]:
    return {"error": {"code": None, "message": message, "param": None, "type": label}}


def alias_of(name: str) -> str:
    """What Foundry Local 2 calls a variant's model: its id without build and version."""
    return name.partition(":")[0].removesuffix("-generic-cpu").removesuffix("-cuda-gpu")


def _of_alias(store: ModelStore, path: str) -> StoredModel | None:
    alias = unquote(path.rpartition("/")[2])
    return next((model for model in store.installed.values() if alias_of(model.name) == alias), None)


def _old_load(store: ModelStore, asked: Asked) -> Act:
    name = unquote(asked.path.rpartition("/")[2])
    try:
        store.load(name, store.context, asked.now)
    except StoreFault as fault:
        missing = fault.trouble == "unknown"
        return Reply(404 if missing else 500, "" if missing else {"error": "Failed to load model: out of memory"})
    return Reply(200, "", store.wait(name, asked.now))


def _old_unload(store: ModelStore, asked: Asked) -> Act:
    name = unquote(asked.path.rpartition("/")[2])
    if store.find(name) is None:
        return Reply(404, "")
    store.busy.discard(name)  # force=true
    store.unload(name)
    return Reply(200, "")


def _old_download(store: ModelStore, asked: Asked) -> Act:
    return Pieces("text/plain", _old_lines(store, str((asked.body.get("model") or {}).get("Name", ""))))


def _old_lines(store: ModelStore, name: str) -> Generator[tuple[float, bytes], None, None]:
    try:
        size, before = store.wanted(name).size, 0
        for come in store.pulling(name):
            yield pace(store, come - before), f"Total {100 * come / size:.2f}% Downloading model.onnx.data\n".encode()
            before = come
        store.install(name)
        yield 0.0, b'{"Success":true,"ErrorMessage":null}'
    except StoreFault as fault:
        if fault.trouble == "cut":
            raise
        while fault.trouble == "stall":
            yield 3_600.0, b""
        why = _OLD_SAYS[fault.trouble]
        yield 0.0, json.dumps({"Success": False, "ErrorMessage": why}).encode()


_OLD_SAYS: Final[Mapping[str, str]] = {
    "unknown": "Model not found in the catalog",
    "disk-full": "There is not enough space on the disk.",
    "wrong-digest": "SHA256 mismatch of model.onnx.data",
}


NEW: Final[Mapping[tuple[str, str], Route]] = {
    ("GET", "/models/load/"): _load,
    ("GET", "/models/unload/"): _unload,
}
"""Paths of 2.x."""
OLD: Final[Mapping[tuple[str, str], Route]] = {
    ("GET", "/openai/load/"): _old_load,
    ("GET", "/openai/unload/"): _old_unload,
    ("POST", "/openai/download"): _old_download,
}
"""Paths of the older service."""
