"""Lemonade's lifecycle paths, as its API reference has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.testing.lifecycle.acts import Act, Asked, Reply, Route
from orchestrator.testing.lifecycle.store import ModelStore, StoredModel, StoreFault


def _load(store: ModelStore, asked: Asked) -> Act:
    """What is not there would be downloaded first; this server has no network for that."""
    name = str(asked.body.get("model_name", ""))
    try:
        store.load(name, int(asked.body.get("ctx_size") or store.context), asked.now)
    except StoreFault as fault:
        why = (
            "Model not found: " + name if fault.trouble == "unknown" else "llama-server failed to start: out of memory"
        )
        return Reply(404 if fault.trouble == "unknown" else 500, _error(why))
    return Reply(200, {"status": "success", "message": f"Loaded model: {name}"}, store.wait(name, asked.now))


def _unload(store: ModelStore, asked: Asked) -> Act:
    name = str(asked.body.get("model_name", ""))
    if name not in store.loaded:
        return Reply(404, _error(f"Model not found: {name}"))
    store.unload(name)
    return Reply(200, {"status": "success", "message": "Model unloaded successfully"})


def _pull(store: ModelStore, asked: Asked) -> Act:
    name = str(asked.body.get("model_name", ""))
    try:
        model = store.wanted(name)
    except StoreFault:
        return Reply(404, _error(f"Model not found: {name}"))
    if store.find(name) is not None:
        return Reply(200, _job(store, model))
    store.failed.pop(name, None)
    return Reply(200, _job(store, model), download=("begin", name))


def _downloads(store: ModelStore, _asked: Asked) -> Act:
    return Reply(200, [_job(store, model) for model in store.library.values()])


def _control(store: ModelStore, asked: Asked) -> Act:
    """Paused, it keeps what had come."""
    name = str(asked.body.get("id", "")).removeprefix("model:")
    model = store.library.get(name)
    if model is None:
        return Reply(404, _error(f"no download {name}"))
    return Reply(200, {**_job(store, model), "status": "paused"}, download=("pause", name))


def _delete(store: ModelStore, asked: Asked) -> Act:
    name = str(asked.body.get("model_name", ""))
    if store.find(name) is None:
        return Reply(404, _error(f"Model not found: {name}"))
    store.remove(name)
    return Reply(200, {"status": "success", "message": f"Deleted model: {name}"})


def _job(store: ModelStore, model: StoredModel) -> dict[str, Any]:
    there, trouble = store.find(model.name) is not None, store.failed.get(model.name)
    over = trouble not in (None, "stall")
    come = model.size if there else store.came.get(model.name, 0)
    job = {
        "id": f"model:{model.name}",
        "type": "model",
        "model_name": model.name,
        "status": "completed" if there else "error" if over else "downloading",
        "file": "model.gguf",
        "bytes_downloaded": come,
        "bytes_total": model.size,
        "completed_files_bytes": 0,
        "total_download_size": model.size,
        "complete": there,
    }
    return {**job, "error": _SAYS[trouble]} if over and trouble else job


def _error(message: str) -> dict[str, Any]:
    return {"status": "error", "message": message}


_SAYS: Final[Mapping[str, str]] = {
    "disk-full": "write failed: No space left on device",
    "wrong-digest": "checksum of model.gguf does not match",
    "cut": "Transferred a partial file",
}
_ACTS: Final[Mapping[tuple[str, str], Route]] = {
    ("POST", "load"): _load,
    ("POST", "unload"): _unload,
    ("POST", "pull"): _pull,
    ("GET", "downloads"): _downloads,
    ("POST", "downloads/control"): _control,
    ("POST", "delete"): _delete,
}
ROUTES: Final[Mapping[tuple[str, str], Route]] = {
    (method, f"{base}/{path}"): route for base in ("/v1", "/api/v1") for (method, path), route in _ACTS.items()
}
