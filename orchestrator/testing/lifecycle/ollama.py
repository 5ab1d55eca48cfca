"""Ollama's lifecycle paths: shapes and error texts of its sources (server/routes.go, server/images.go). Pure."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final

from orchestrator.testing.lifecycle.acts import Act, Asked, Pieces, Reply, Route, pace
from orchestrator.testing.lifecycle.store import ModelStore, StoredModel, StoreFault


def _generate(store: ModelStore, asked: Asked) -> Act:
    name = str(asked.body.get("model", ""))
    model = store.find(name)
    if model is None:
        return Reply(404, {"error": f"model '{name}' not found"})
    answer = {"model": name, "created_at": "2026-01-01T00:00:00Z", "response": "", "done": True}
    if asked.body.get("keep_alive") == 0:
        store.unload(name)
        return Reply(200, {**answer, "done_reason": "unload"})
    if asked.path == "/api/generate" and "embed" in name:
        return Reply(400, {"error": f'"{name}" does not support generate'})
    context = int((asked.body.get("options") or {}).get("num_ctx") or store.loaded.get(model.name) or store.context)
    try:
        store.load(name, context, asked.now)
    except StoreFault:
        needs, free = _gib(model.size), _gib(min(model.size / 2, store.free_memory(model.name)))
        return Reply(500, {"error": f"model requires more system memory ({needs}) than is available ({free})"})
    return Reply(200, {**answer, "done_reason": "load"}, store.wait(name, asked.now))


def _pull(store: ModelStore, asked: Asked) -> Act:
    return Pieces("application/x-ndjson", _lines(store, str(asked.body.get("model", ""))))


def _lines(store: ModelStore, name: str) -> Generator[tuple[float, bytes], None, None]:
    """Two layers: the weights, and a small one after them that is known only then."""
    yield 0.0, _line({"status": "pulling manifest"})
    try:
        model = store.wanted(name)
        yield from _layers(store, model)
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            if status == "writing manifest":
                store.install(name)
            yield 0.0, _line({"status": status})
    except StoreFault as fault:
        if fault.trouble == "cut":
            raise
        yield 0.0, _line({"error": _SAYS[fault.trouble].format(digest=_digest(fault.model))})


def _layers(store: ModelStore, model: StoredModel) -> Iterator[tuple[float, bytes]]:
    layer = {"status": f"pulling {model.digest[:12]}", "digest": f"sha256:{model.digest}", "total": model.size}
    before = store.came.get(model.name, 0)
    yield 0.0, _line({**layer, **({"completed": before} if before else {})})
    try:
        for come in store.pulling(model.name):
            yield pace(store, come - before), _line({**layer, "completed": come})
            before = come
    except StoreFault as fault:
        if fault.trouble != "stall":
            raise
        while True:  # it goes on telling the same
            yield 0.06, _line({**layer, "completed": store.came[model.name]})
    small = {"status": f"pulling {'f' * 12}", "digest": f"sha256:{'f' * 64}", "total": 1_200}
    yield 0.0, _line({**small, "completed": 1_200})


def _digest(name: str) -> str:
    return StoredModel(name).digest


_SAYS: Final[Mapping[str, str]] = {
    "unknown": "pull model manifest: file does not exist",
    "disk-full": "write /var/lib/ollama/models/blobs/sha256-{digest}-partial: no space left on device",
    "wrong-digest": "digest mismatch, file must be downloaded again: want sha256:{digest}, got sha256:00",
}


def _delete(store: ModelStore, asked: Asked) -> Act:
    name = str(asked.body.get("model", ""))
    if store.find(name) is None:
        return Reply(404, {"error": f"model '{name}' not found"})
    store.remove(name)
    return Reply(200, "")


def _show(store: ModelStore, asked: Asked) -> Act:
    """Where a model is passed on to, it tells here, whatever its list does."""
    name = str(asked.body.get("model", ""))
    model = store.find(name)
    if model is None:
        return Reply(404, {"error": f"model '{name}' not found"})
    details = {"format": "gguf", "quantization_level": model.quantization}
    away = {"remote_model": name, "remote_host": "https://ollama.com:443"} if name in store.forwarded else {}
    return Reply(200, {"details": details, "capabilities": ["completion"], **away})


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


ROUTES: Final[Mapping[tuple[str, str], Route]] = {
    ("POST", "/api/generate"): _generate,
    ("POST", "/api/embed"): _generate,
    ("POST", "/api/pull"): _pull,
    ("POST", "/api/show"): _show,
    ("DELETE", "/api/delete"): _delete,
}
