"""LM Studio's lifecycle paths, as its REST documentation has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.testing.lifecycle.acts import Act, Asked, Reply, Route
from orchestrator.testing.lifecycle.store import ModelStore, StoreFault


def _load(store: ModelStore, asked: Asked) -> Act:
    name = str(asked.body.get("model", ""))
    context = int(asked.body.get("context_length") or store.context)
    try:
        store.load(name, context, asked.now)
    except StoreFault as fault:
        if fault.trouble == "unknown":
            return Reply(404, {"error": {"type": "model_not_found", "message": f"Model {name} not found"}})
        why = "Model loading was stopped due to insufficient system resources."
        return Reply(500, {"error": {"type": "model_load_failed", "message": f"Failed to load model: {why}"}})
    answer = {"type": "llm", "instance_id": name, "load_time_seconds": store.load_time, "status": "loaded"}
    return Reply(200, {**answer, "load_config": {"context_length": context}}, store.wait(name, asked.now))


def _unload(store: ModelStore, asked: Asked) -> Act:
    name = str(asked.body.get("instance_id", ""))
    if name not in store.loaded:
        return Reply(404, {"error": {"type": "not_found", "message": f"Instance {name} not found"}})
    store.unload(name)
    return Reply(200, {"instance_id": name})


def _download(store: ModelStore, asked: Asked) -> Act:
    name = _name(asked.body)
    try:
        model = store.wanted(name)
    except StoreFault:
        return Reply(404, {"error": {"type": "model_not_found", "message": f"Model {name} not found"}})
    if store.find(name) is not None:
        return Reply(200, {"status": "already_downloaded", "total_size_bytes": model.size})
    answer = {"job_id": f"job_{model.digest[:10]}", "status": "downloading", "total_size_bytes": model.size}
    return Reply(200, answer, download=("begin", model.name))


def _name(body: Mapping[str, Any]) -> str:
    model = str(body.get("model", "")).removeprefix("https://huggingface.co/")
    return f"{model}:{body['quantization']}" if body.get("quantization") else model


def _status(store: ModelStore, asked: Asked) -> Act:
    job = asked.path.rpartition("/")[2]
    known = {**store.library, **store.installed}
    model = next((each for each in known.values() if job == f"job_{each.digest[:10]}"), None)
    if model is None:
        return Reply(404, {"error": {"type": "not_found", "message": f"Job {job} not found"}})
    status = "completed" if store.find(model.name) else "failed" if _is_over(store, model.name) else "downloading"
    come = model.size if status == "completed" else store.came.get(model.name, 0)
    answer = {"job_id": job, "status": status, "downloaded_bytes": come, "total_size_bytes": model.size}
    if status == "failed":
        answer["error"] = _SAYS[store.failed[model.name]]
    return Reply(200, answer)


def _is_over(store: ModelStore, name: str) -> bool:
    return store.failed.get(name) not in (None, "stall")


_SAYS: Final[Mapping[str, str]] = {
    "disk-full": "ENOSPC: no space left on device, write",
    "wrong-digest": "checksum of the file does not match",
    "cut": "socket hang up",
}


ROUTES: Final[Mapping[tuple[str, str], Route]] = {
    ("POST", "/api/v1/models/load"): _load,
    ("POST", "/api/v1/models/unload"): _unload,
    ("POST", "/api/v1/models/download"): _download,
    ("GET", "/api/v1/models/download/status/"): _status,
}
