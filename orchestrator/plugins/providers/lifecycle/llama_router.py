"""llama.cpp's llama-server as a router of several models: loads, unloads, downloads from Hugging Face, removes.

From its sources (tools/server/server-models.cpp, README.md), tried on the real server (``tests/real``). What it says is
not taken on trust: it answers a load at once, calls a download of nothing finished, and evicts models by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final, Literal
from urllib.parse import quote

import anyio

from orchestrator.core.errors import (
    BadRequest,
    BrokenReply,
    ModelError,
    ModelNotFound,
    ServerBusy,
    ServerFailed,
    Stalled,
)
from orchestrator.plugins.providers.lifecycle.asking import QUICK, Asking, Deadline, Stillness, refuse
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.makes.make import count, inner, objects, text
from orchestrator.ports.lifecycle import Loaded, LoadOptions, PullProgress
from orchestrator.ports.provider import Support, Target

_EVERY: Final = 0.1  # seconds between two looks at the states
_THERE: Final = ("loaded", "sleeping")  # a sleeping model wakes with its next request
_NOTHING_TO_DO: Final = {"load": "already running", "unload": "not running"}
_NO_REPOSITORY: Final = ("validation failed", "invalid HF repo")
_ROUTER: Final = "start it as a router (llama-server --models-dir FOLDER) to load, unload and pull models"
_CONTEXT: Final = "start the router with -c, or give the model a preset (--models-preset)"
_FOLLOW: Final = "llama-server goes on with it by itself; pull again to follow it"
_REST: Final = "start the router with --sleep-idle-seconds"


class LlamaLifecycle:
    """``Loader``, ``Puller`` and ``Remover`` for a llama-server that routes; one with a single model refuses."""

    _line: HttpLine
    pull_goes_on = False
    pull_is_kept = Support.NO  # it deletes the part when a download is cancelled (common/download.cpp)

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:
        """See :class:`orchestrator.ports.lifecycle.Loader`. The router may evict the model that rested longest for it."""
        asking, deadline = Asking(self._line, target), Deadline(timeout)
        refuse(options, "keep_alive", _REST)
        entry = await _entry(asking, target.model, deadline.left)
        if _state(entry) in _THERE:
            if options.context not in (None, _context(entry)):
                refuse(options, "context", _CONTEXT)
            return _loaded(entry, 0.0)
        refuse(options, "context", _CONTEXT)
        _refuse_while_it_comes(entry)
        await _ask(asking, "load", target.model, deadline)
        return _loaded(await _until_loaded(asking, target.model, deadline), deadline.taken)

    async def unload(self, target: Target, timeout: float) -> None:
        """See :class:`orchestrator.ports.lifecycle.Loader`."""
        asking, deadline = Asking(self._line, target), Deadline(timeout)
        entry = await _entry(asking, target.model, deadline.left)
        if _state(entry) == "unloaded":
            return
        _refuse_while_it_comes(entry)
        await _ask(asking, "unload", target.model, deadline)
        while _state(await _entry(asking, target.model, deadline.left)) != "unloaded":
            if deadline.left <= 2 * _EVERY:
                raise ServerBusy(f"{target.model} still answers requests; llama-server unloads it when they end")
            await anyio.sleep(_EVERY)

    async def pull(self, target: Target) -> AsyncIterator[PullProgress]:
        """See :class:`orchestrator.ports.lifecycle.Puller`. The model is ``REPOSITORY:QUANTIZATION`` of Hugging Face."""
        asking, still, files = Asking(self._line, target), Stillness(_FOLLOW), Files()
        await _check_router(asking)
        yield still.saw(PullProgress("asking", target.model))
        coming = await asking.open("GET", "/models/sse", None, still)  # before it is asked for: no event is missed
        running = False
        try:
            running = await _begin(asking, target.model)
            while running:
                for event in _about(target.model, await coming.objects()):
                    name = text(event.get("event"))
                    running = running and not name.startswith(("download_finished", "download_failed"))
                    if name == "download_progress":
                        yield still.saw(files.take(inner(inner(event, "data"), "progress")))
                    elif name == "download_failed":
                        cure = "the log of llama-server says why (a full disk?); pull again to go on with what had come"
                        raise ServerFailed(f"llama-server could not download {target.model}", cure=cure)
        except ModelError:
            running = False  # nobody has left: it goes on, and ending it would delete what had come
            raise
        finally:
            coming.close()
            if running:
                await _cancel(asking, target.model)
        await _check_listed(asking, target.model)
        yield files.done

    async def remove(self, target: Target) -> None:
        """See :class:`orchestrator.ports.lifecycle.Remover`. Only what it downloaded is the server's to delete."""
        asking = Asking(self._line, target)
        await _check_router(asking)
        try:
            await asking.delete(f"/models?model={quote(target.model, safe='')}")
        except ServerFailed as error:
            if "not removable" not in error.message:
                raise
            cure = "delete its file from the folder that the router was started with (--models-dir)"
            raise BadRequest(f"llama-server did not download {target.model} itself", cure=cure) from error


class Files:
    """Adds up what a download says of its files, by their addresses. Pure."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[int, int]] = {}

    def take(self, progress: Mapping[str, Any]) -> PullProgress:
        """The ``progress`` of an event: address -> ``done`` and ``total`` in bytes."""
        for name, file in progress.items():
            if isinstance(file, dict):
                self._files[name] = (count(file.get("done")) or 0, count(file.get("total")) or 0)
        part = next(reversed(self._files), "").rpartition("/")[2].partition("?")[0]
        return PullProgress("downloading", part, *self._sums)

    @property
    def done(self) -> PullProgress:
        """The last item."""
        return PullProgress("done", "", *self._sums)

    @property
    def _sums(self) -> tuple[int | None, int | None]:
        if not self._files:
            return None, None
        return sum(done for done, _ in self._files.values()), sum(total for _, total in self._files.values())


def _about(model: str, events: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """The events about this model; a repository that was asked for without a tag may come back with one."""
    if events is None:
        raise BrokenReply("llama-server ended its events in the middle of the pull", cure=_FOLLOW)
    return [event for event in events if _same_repository(text(event.get("model")), model)]


async def _check_listed(asking: Asking, model: str) -> None:
    """A download that found nothing is called finished, so only the list tells."""
    names = [text(entry.get("id")) for entry in await _models(asking, QUICK, "?reload=1")]
    if not any(_same_repository(name, model) for name in names):
        cure = "is its disk full, does Hugging Face have it, and does this llama-server speak HTTPS? Its log says more"
        raise ModelNotFound(f"llama-server says that the download ended, but does not list {model}", cure=cure)


def _same_repository(name: str, model: str) -> bool:
    one, other = name.casefold(), model.casefold()
    return one == other or one.startswith(f"{other}:")


async def _begin(asking: Asking, model: str) -> bool:
    """Whether a download runs now: one that somebody else began counts too; a model that is there needs none, and the
    server would refuse it."""
    known = [entry for entry in await _models(asking, QUICK) if text(entry.get("id")) == model]
    if known:
        return _state(known[0]) == "downloading"
    try:
        await asking.post("/models", {"model": model}, 60.0)  # it asks Hugging Face first
    except BadRequest as error:
        if any(words in error.message for words in _NO_REPOSITORY):
            cure = "write it as on Hugging Face, like bartowski/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M"
            raise ModelNotFound(f"llama-server finds no model {model} to download", cure=cure) from error
        raise
    return True


async def _cancel(asking: Asking, model: str) -> None:
    """Its client leaves: told in any case, also while it is cancelled itself."""
    with anyio.CancelScope(shield=True), suppress(ModelError):  # who leaves does not want to hear that it failed
        await asking.post("/models/unload", {"model": model}, 5.0)


async def _ask(asking: Asking, act: Literal["load", "unload"], model: str, deadline: Deadline) -> None:
    """A load may wait until the model that must leave for it has ended. That there is nothing to do is as good as done."""
    try:
        await asking.post(f"/models/{act}", {"model": model}, deadline.left)
    except BadRequest as error:
        if _NOTHING_TO_DO[act] not in error.message:
            raise


async def _until_loaded(asking: Asking, model: str, deadline: Deadline) -> dict[str, Any]:
    while True:
        entry = await _entry(asking, model, deadline.left)
        if _state(entry) in _THERE:
            return entry
        if _state(entry) == "unloaded":
            code = inner(entry, "status").get("exit_code")
            why = f"its process ended with exit code {code}" if code else "it was unloaded again"
            cure = "the log of llama-server says why; too little memory, or a file that is no model?"
            raise ServerFailed(f"llama-server could not load {model}: {why}", cure=cure)
        if deadline.left <= 2 * _EVERY:
            raise Stalled(f"{model} was not loaded in time; llama-server goes on with it")
        await anyio.sleep(_EVERY)


async def _models(asking: Asking, timeout: float, query: str = "") -> list[dict[str, Any]]:
    value = await asking.get(f"/models{query}", timeout)
    return objects(value.get("data")) if isinstance(value, dict) else []


async def _entry(asking: Asking, model: str, timeout: float) -> dict[str, Any]:
    """What it lists of a model. Raises ``ModelNotFound``, and ``BadRequest`` for a server that is no router."""
    listed = await _models(asking, timeout)
    if listed and not any(inner(entry, "status") for entry in listed):
        raise _no_router(asking)
    for entry in listed:
        if text(entry.get("id")) == model or model in (entry.get("aliases") or ()):
            return entry
    known = ", ".join(text(entry.get("id")) for entry in listed[:8]) or "none"
    raise ModelNotFound(f"llama-server at {asking.root} has no model {model}", cure=f"it has: {known}")


async def _check_router(asking: Asking) -> None:
    if inner({"props": await asking.get("/props")}, "props").get("role") != "router":
        raise _no_router(asking)


def _no_router(asking: Asking) -> BadRequest:
    return BadRequest(f"the llama-server at {asking.root} has the one model that it was started with", cure=_ROUTER)


def _state(entry: Mapping[str, Any]) -> str:
    return text(inner(entry, "status").get("value"))


def _refuse_while_it_comes(entry: Mapping[str, Any]) -> None:
    """An unload would end its download."""
    if _state(entry) == "downloading":
        raise ServerBusy(f"{text(entry.get('id'))} is still being downloaded")


def _context(entry: Mapping[str, Any]) -> int | None:
    return count(inner(entry, "meta").get("n_ctx"))


def _loaded(entry: Mapping[str, Any], seconds: float) -> Loaded:
    """How much memory it takes, it does not tell; the size in its list is that of the weights."""
    return Loaded(seconds, None, _context(entry), text(entry.get("id")))
