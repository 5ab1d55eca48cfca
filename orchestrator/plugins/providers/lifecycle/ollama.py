"""Ollama: loads by a request without a prompt, unloads by ``keep_alive: 0``, pulls in layers, deletes.

From its API document (docs/api.md) and its sources (server/routes.go, server/images.go, server/download.go). A pull that
its client leaves is cancelled; the parts that came stay beside the blobs and the next pull goes on from them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import anyio

from orchestrator.core.errors import BadRequest, BrokenReply, ModelError, ServerBusy
from orchestrator.core.names import is_cloud_tag
from orchestrator.plugins.providers.failures import failure_in_reply
from orchestrator.plugins.providers.lifecycle.asking import Asking, Deadline, Stillness
from orchestrator.plugins.providers.lifecycle.cures import with_cure
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.makes.make import count, inner, objects, text
from orchestrator.ports.lifecycle import Loaded, LoadOptions, PullProgress, PullStage
from orchestrator.ports.provider import Identity, Secret, ServedModel, Support, Target

_EVERY: Final = 0.1  # seconds between two looks at what is loaded
_ONLY_EMBEDS: Final = "does not support generate"
_ELSEWHERE: Final = ("remote_host", "remote_model")
_STAGES: Final[tuple[tuple[str, PullStage], ...]] = (
    ("success", "done"),
    ("verifying", "verifying"),
    ("writing", "installing"),
    ("removing", "installing"),
)


class Forwards:
    """Which models a server only passes on to another machine, by what ``/api/show`` tells of each: its list may not. Asked once of
    each build of a model."""

    def __init__(self, line: HttpLine) -> None:
        self._line = line
        self._known: dict[tuple[str, str, str], bool] = {}

    async def told(
        self, identity: Identity, api_key: Secret | None, models: tuple[ServedModel, ...]
    ) -> tuple[ServedModel, ...]:
        """The models, with what is told of them there. One of which nothing can be learned now is asked again at the next look."""
        found = []
        for model in models:
            known = (identity.url, model.id, model.digest)
            if not (model.remote or (model.digest and known in self._known)):
                asking = Asking(self._line, Target("ollama", identity.api_base, model.id, api_key))
                with suppress(ModelError):
                    said = await asking.post("/api/show", {"model": model.id})
                    self._known[known] = shown_elsewhere(inner({"said": said}, "said"))
            found.append(replace(model, remote=True) if self._known.get(known) else model)
        return tuple(found)


def shown_elsewhere(said: Mapping[str, Any]) -> bool:
    """Whether what ``/api/show`` tells of a model names another machine."""
    return any(text(said.get(name)) for name in _ELSEWHERE)


class OllamaLifecycle:
    """``Loader``, ``Puller`` and ``Remover`` for Ollama."""

    _line: HttpLine
    pull_goes_on = False
    pull_is_kept = Support.YES

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:
        """See :class:`orchestrator.ports.lifecycle.Loader`. Another context than before makes Ollama load it anew."""
        _refuse_cloud(target.model)
        asking, deadline = Asking(self._line, target), Deadline(timeout)
        before = await _running(asking, target.model, deadline)
        await _bring(asking, target.model, options, deadline)
        after = await _running(asking, target.model, deadline)
        if (
            after is None
        ):  # Ollama said that it is loaded, and knows better than we: another load may have taken its place
            return Loaded(deadline.taken)
        context = count(after.get("context_length"))
        there = before is not None and options.context in (None, count(before.get("context_length")))
        return Loaded(0.0 if there else deadline.taken, count(after.get("size")), context, text(after.get("name")))

    async def unload(self, target: Target, timeout: float) -> None:
        """See :class:`orchestrator.ports.lifecycle.Loader`."""
        _refuse_cloud(target.model)
        asking, deadline = Asking(self._line, target), Deadline(timeout)
        await asking.post("/api/generate", {"model": target.model, "keep_alive": 0, "stream": False}, deadline.left)
        while await _running(asking, target.model, deadline) is not None:
            if deadline.left <= 2 * _EVERY:
                raise ServerBusy(f"{target.model} still answers requests; Ollama unloads it when they end")
            await anyio.sleep(_EVERY)

    async def pull(self, target: Target) -> AsyncIterator[PullProgress]:
        """See :class:`orchestrator.ports.lifecycle.Puller`."""
        still, layers = Stillness(), Layers()
        body = {"model": target.model, "stream": True}
        coming = await Asking(self._line, target).open("POST", "/api/pull", body, still)
        try:
            while (arrived := await coming.objects()) is not None:
                for said in arrived:
                    yield still.saw(layers.take(said))
                    if layers.done:
                        return
        finally:
            coming.close()
        raise BrokenReply("Ollama ended the pull without saying that it is done", cure="pull again to go on")

    async def remove(self, target: Target) -> None:
        """See :class:`orchestrator.ports.lifecycle.Remover`."""
        await Asking(self._line, target).delete("/api/delete", {"model": target.model})


class Layers:
    """Adds up what a pull says of its layers, one after the other; a layer is known once it begins. Pure."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}  # digest -> completed, total
        self.done = False

    def take(self, said: Mapping[str, Any]) -> PullProgress:
        """One line of it. Raises ``ServerFailed`` or ``ModelNotFound`` for an error."""
        if said.get("error"):
            raise with_cure(failure_in_reply(said["error"]))
        status, digest = text(said.get("status")), text(said.get("digest"))
        if digest:
            self._layers[digest] = (count(said.get("completed")) or 0, count(said.get("total")) or 0)
        stage = _stage_of(status, bool(self._layers))
        self.done = stage == "done"
        if not self._layers:
            return PullProgress(stage, status)
        completed = sum(come for come, _ in self._layers.values())
        return PullProgress(stage, digest.removeprefix("sha256:")[:12], completed, self._total)

    @property
    def _total(self) -> int:
        return sum(total for _, total in self._layers.values())


def _stage_of(status: str, begun: bool) -> PullStage:
    known = next((stage for word, stage in _STAGES if status.startswith(word)), None)
    return known or ("downloading" if begun else "asking")


def _refuse_cloud(model: str) -> None:
    """Ollama would send the request on to its cloud."""
    if is_cloud_tag(model):
        raise BadRequest(f"{model} is on another machine", cure="there is nothing to load or unload here")


async def _bring(asking: Asking, model: str, options: LoadOptions, deadline: Deadline) -> None:
    body: dict[str, Any] = {"model": model, "stream": False}
    if options.keep_alive is not None:
        endless = options.keep_alive == float("inf")
        body["keep_alive"] = -1 if endless else f"{round(options.keep_alive)}s"
    if options.context is not None:
        body["options"] = {"num_ctx": options.context}
    try:
        await asking.post("/api/generate", body, deadline.left)
    except BadRequest as error:
        if _ONLY_EMBEDS not in error.message:
            raise
        await asking.post("/api/embed", {**body, "input": []}, deadline.left)


async def _running(asking: Asking, model: str, deadline: Deadline) -> dict[str, Any] | None:
    value = await asking.get("/api/ps", deadline.left)
    listed = objects(value.get("models")) if isinstance(value, dict) else []
    return next((entry for entry in listed if _tagged(text(entry.get("name"))) == _tagged(model)), None)


def _tagged(name: str) -> str:
    """Ollama's names without a tag mean ``:latest``, and case does not matter."""
    name = name.casefold()
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
