"""A llama-server that routes: shapes and error texts recorded from the real one, its download's read from its sources. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.testing.lifecycle.acts import Act, Asked, Listen, Reply, Route
from orchestrator.testing.lifecycle.store import ModelStore, StoreFault


def _load(store: ModelStore, asked: Asked) -> Act:
    name = str(asked.body.get("model", ""))
    if store.find(name) is None:
        return Reply(404, _error(404, "File Not Found", "not_found_error"))
    if name in store.loaded or name in store.loading:
        return _refused("model is already running")
    try:
        store.load(name, store.context, asked.now)
    except StoreFault:
        return Reply(200, {"success": True})  # its process ends later, with an exit code in the list
    return Reply(200, {"success": True})


def _unload(store: ModelStore, asked: Asked) -> Act:
    name = str(asked.body.get("model", ""))
    if name in store.came and store.find(name) is None:
        return Reply(200, {"success": True}, download=("cancel", name))
    if store.find(name) is None:
        return _refused("model is not found")
    if name not in store.loaded and name not in store.loading:
        return _refused("model is not running")
    store.unload(name)
    return Reply(200, {"success": True})


def _pull(store: ModelStore, asked: Asked) -> Act:
    name = str(asked.body.get("model", ""))
    if store.find(name) is not None:
        return _refused(f"model '{name}' already exists")
    try:
        store.wanted(name)
    except StoreFault:
        return _refused("model validation failed, unable to download")
    return Reply(200, {"success": True}, download=("begin", name))


def _delete(store: ModelStore, asked: Asked) -> Act:
    name = asked.query.get("model", "")
    if store.find(name) is None:
        return Reply(500, _error(500, f"model name={name} is not found", "server_error"))
    if name not in store.library:
        message = f"model name={name} is not removable (not from cache)"
        return Reply(500, _error(500, message, "server_error"))
    store.remove(name)
    return Reply(200, {"success": True})


def _events(_store: ModelStore, _asked: Asked) -> Act:
    return Listen()


def event_of(store: ModelStore, name: str, kind: str) -> bytes:
    """One event of a download, as its listeners get it."""
    event: dict[str, Any] = {"model": name, "event": kind}
    if kind == "download_progress":
        file = f"https://huggingface.co/{name.partition(':')[0]}/resolve/main/model.gguf"
        figures = {"done": store.came.get(name, 0), "total": store.wanted(name).size}
        event["data"] = {"progress": {file: figures}}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _refused(message: str) -> Reply:
    return Reply(400, _error(400, message, "invalid_request_error"))


def _error(code: int, message: str, label: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "type": label}}


ROUTES: Final[Mapping[tuple[str, str], Route]] = {
    ("POST", "/models/load"): _load,
    ("POST", "/models/unload"): _unload,
    ("POST", "/models"): _pull,
    ("DELETE", "/models"): _delete,
    ("GET", "/models/sse"): _events,
}
