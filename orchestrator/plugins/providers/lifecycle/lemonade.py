"""Lemonade: loads, unloads, downloads and deletes, as its API reference has them (docs/api/lemonade.md of lemonade-sdk/lemonade).

A load downloads what is not there, so only what it lists is loaded. A download is a job of the server's, which is paused when its
caller leaves: that keeps what had come.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final

import anyio

from orchestrator.core.errors import BadRequest, BrokenReply, ModelError, ModelNotFound, ServerBusy, ServerFailed
from orchestrator.plugins.providers.lifecycle.asking import QUICK, Asking, Deadline, Stillness, refuse
from orchestrator.plugins.providers.lifecycle.cures import with_cure
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.makes.make import count, inner, objects, text
from orchestrator.ports.lifecycle import Loaded, LoadOptions, PullProgress
from orchestrator.ports.provider import Support, Target

_FIRST_LOOK: Final = 0.05
_SLOWEST_LOOK: Final = 1.0
"""Seconds between two looks at a download; the first ones come sooner."""
_EVERY: Final = 0.1
_REST: Final = "set evict_idle_timeout in Lemonade, or leave keep_alive out"
_OLD: Final = "update Lemonade, or pull it there: lemonade-server pull {model}"
_MISSING: Final = ("not found", "unknown model", "not registered")


class LemonadeLifecycle:
    """``Loader``, ``Puller`` and ``Remover`` for Lemonade."""

    _line: HttpLine
    pull_goes_on = False
    pull_is_kept = Support.YES

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:
        """See :class:`orchestrator.ports.lifecycle.Loader`. It may evict the model that rested longest for it."""
        asking, deadline = _Asking(self._line, target), Deadline(timeout)
        refuse(options, "keep_alive", _REST)
        await asking.need(target.model, deadline)
        there = await asking.running(target.model, deadline)
        if there is not None and options.context in (None, _context(there)):
            return Loaded(0.0, None, _context(there), target.model)
        size = {} if options.context is None else {"ctx_size": options.context}
        await asking.act("load", {"model_name": target.model, **size}, deadline.left)
        now = await asking.running(target.model, deadline)
        context = _context(now or {}) or options.context
        return Loaded(deadline.taken, None, context, target.model)

    async def unload(self, target: Target, timeout: float) -> None:
        """See :class:`orchestrator.ports.lifecycle.Loader`. It says which models answer just now: these are waited for."""
        asking, deadline = _Asking(self._line, target), Deadline(timeout)
        await asking.need(target.model, deadline)
        while (there := await asking.running(target.model, deadline)) is not None:
            if there.get("is_busy") is not True and there.get("is_streaming") is not True:
                await asking.act("unload", {"model_name": target.model}, deadline.left)
            elif deadline.left <= 2 * _EVERY:
                raise ServerBusy(f"{target.model} still answers requests; unload it when they end")
            else:
                await anyio.sleep(_EVERY)

    async def pull(self, target: Target) -> AsyncIterator[PullProgress]:
        """See :class:`orchestrator.ports.lifecycle.Puller`. The model is one of its registry, by its name there."""
        asking, still = _Asking(self._line, target), Stillness()
        await asking.jobs(target.model)
        yield still.saw(PullProgress("asking", target.model))
        job, pause, running = await asking.begin(target.model), _FIRST_LOOK, True
        try:
            while (progress := _progress(job, target.model)).stage != "done":
                yield still.saw(progress)
                await still.wait(anyio.sleep(pause))
                pause = min(2 * pause, _SLOWEST_LOOK)
                job = await still.wait(asking.job(target.model, job))
            running = False
        except ModelError:
            running = False  # nobody has left: it has ended, or goes on by itself
            raise
        finally:
            if running:
                await asking.pause(job)
        yield progress

    async def remove(self, target: Target) -> None:
        """See :class:`orchestrator.ports.lifecycle.Remover`. One that is loaded is unloaded first."""
        asking = _Asking(self._line, target)
        await asking.need(target.model, Deadline(QUICK))
        await asking.act("delete", {"model_name": target.model}, QUICK)


class _Asking:
    """What is asked of one server, below ``/v1`` or ``/api/v1`` as it was found."""

    def __init__(self, line: HttpLine, target: Target) -> None:
        self._asking = Asking(line, target)
        self._base = target.api_base.removeprefix(self._asking.root)

    async def need(self, model: str, deadline: Deadline) -> None:
        """Raises ``ModelNotFound`` for what it does not list: a load would download it."""
        listed = objects((await self._get("models", deadline.left)).get("data"))
        names = [text(card.get("id")) for card in listed if card.get("downloaded") is not False]
        if model not in names:
            known = ", ".join(names[:8]) or "none"
            raise ModelNotFound(f"Lemonade at {self._asking.root} has no model {model}", cure=f"it has: {known}")

    async def running(self, model: str, deadline: Deadline) -> dict[str, Any] | None:
        """What it tells of a model that is in memory."""
        loaded = objects((await self._get("health", deadline.left)).get("all_models_loaded"))
        return next((entry for entry in loaded if entry.get("model_name") == model), None)

    async def act(self, path: str, body: Mapping[str, Any], timeout: float) -> None:
        """A request whose answer is ``success``, or why not. Raises ``ModelNotFound`` or ``ServerFailed``."""
        said = await self._asking.post(f"{self._base}/{path}", body, timeout)
        if isinstance(said, dict) and said.get("status") == "error":
            raise _failure(text(said.get("message")) or f"Lemonade could not {path} {body['model_name']}")

    async def jobs(self, model: str) -> list[dict[str, Any]]:
        """Its downloads. Raises ``BadRequest`` for a version that has no such list."""
        try:
            return objects(await self._asking.get(f"{self._base}/downloads"))
        except (ModelNotFound, ServerFailed) as error:
            cure = _OLD.format(model=model)
            raise BadRequest("this Lemonade tells nothing of its downloads", cure=cure) from error

    async def begin(self, model: str) -> dict[str, Any]:
        """Have it downloaded, as a job; one that was paused goes on."""
        body = {"model_name": model, "stream": True, "subscribe": False}
        said = inner({"said": await self._asking.post(f"{self._base}/pull", body, 60.0)}, "said")
        if said.get("status") == "error" and "id" not in said:
            raise _failure(text(said.get("message")) or "it gives no reason")
        return said

    async def job(self, model: str, last: Mapping[str, Any]) -> dict[str, Any]:
        """How far it is now. Raises ``BrokenReply`` where it has forgotten it."""
        for job in await self.jobs(model):
            if job.get("id") == last.get("id"):
                return job
        raise BrokenReply(f"Lemonade knows no download of {model} any more", cure="pull again to go on")

    async def pause(self, job: Mapping[str, Any]) -> None:
        """Its client leaves: told in any case, also while it is cancelled itself."""
        with anyio.CancelScope(shield=True), suppress(ModelError):  # who leaves does not want to hear that it failed
            await self._asking.post(f"{self._base}/downloads/control", {"id": job.get("id"), "action": "pause"}, 5.0)

    async def _get(self, path: str, timeout: float) -> dict[str, Any]:
        return inner({"said": await self._asking.get(f"{self._base}/{path}", timeout)}, "said")


def _progress(job: Mapping[str, Any], model: str) -> PullProgress:
    """What a job says of itself. Raises ``ServerFailed`` for one that failed or was ended by somebody else."""
    status, total = text(job.get("status")), count(job.get("total_download_size"))
    if status == "completed" or job.get("complete") is True:
        return PullProgress("done", "", total, total)
    if status in ("error", "cancelled", "paused"):
        why = text(job.get("error")) or f"it was {status} there"
        error = with_cure(ServerFailed(f"Lemonade could not download {model}: {why}"))
        error.cure = error.cure or "pull again to go on"
        raise error
    return PullProgress("downloading", text(job.get("file")), _come(job), total)


def _come(job: Mapping[str, Any]) -> int:
    """Bytes that are there, also those of an earlier download: of files that are whole, and of the one that comes now."""
    return (count(job.get("completed_files_bytes")) or 0) + (count(job.get("bytes_downloaded")) or 0)


def _failure(why: str) -> ModelError:
    kind = ModelNotFound if any(words in why.casefold() for words in _MISSING) else ServerFailed
    return with_cure(kind(why))


def _context(entry: Mapping[str, Any]) -> int | None:
    return count(inner(entry, "recipe_options").get("ctx_size"))
