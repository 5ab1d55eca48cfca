"""LM Studio since 0.4: loads and unloads instances, downloads by a job that it goes on with whoever leaves.

From its REST documentation (``/api/v1/models/load``, ``unload``, ``download``, ``download/status``). It has no way to
cancel a download or to delete a model by HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import anyio

from orchestrator.core.errors import BadRequest, BrokenReply, ModelNotFound, ServerFailed
from orchestrator.plugins.providers.lifecycle.asking import QUICK, Asking, Deadline, Stillness, refuse
from orchestrator.plugins.providers.lifecycle.cures import with_cure
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.makes.make import count, inner, objects, text
from orchestrator.ports.lifecycle import Loaded, LoadOptions, PullProgress
from orchestrator.ports.provider import Support, Target

_FIRST_LOOK: Final = 0.05  # seconds until a job is looked at; doubled up to the next
_SLOWEST_LOOK: Final = 0.5
_HUGGING_FACE: Final = "https://huggingface.co/"
_OLD: Final = "update LM Studio to 0.4 or later; before, a model is loaded by its first request"
_TTL: Final = "set its idle time in LM Studio, or leave keep_alive out"


class StudioLifecycle:
    """``Loader`` and ``Puller`` for LM Studio."""

    _line: HttpLine
    pull_goes_on = True
    pull_is_kept = Support.YES

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:
        """See :class:`orchestrator.ports.lifecycle.Loader`. An instance with another context is unloaded first."""
        asking, deadline = Asking(self._line, target), Deadline(timeout)
        refuse(options, "keep_alive", _TTL)
        row = await _row(asking, target.model, deadline.left)
        for instance in _instances(row):
            context = count(inner(instance, "config").get("context_length"))
            if options.context in (None, context):
                return Loaded(0.0, None, context, text(instance.get("id")))
            await _unload(asking, instance, deadline)
        body: dict[str, Any] = {"model": text(row.get("key")), "echo_load_config": True}
        if options.context is not None:
            body["context_length"] = options.context
        said = inner({"said": await asking.post("/api/v1/models/load", body, deadline.left)}, "said")
        context = count(inner(said, "load_config").get("context_length")) or options.context
        return Loaded(deadline.taken, None, context, text(said.get("instance_id")) or text(row.get("key")))

    async def unload(self, target: Target, timeout: float) -> None:
        """See :class:`orchestrator.ports.lifecycle.Loader`. A model's name means all its instances."""
        asking, deadline = Asking(self._line, target), Deadline(timeout)
        row = await _row(asking, target.model, deadline.left)
        for instance in _instances(row):
            if target.model in (text(row.get("key")), text(instance.get("id"))):
                await _unload(asking, instance, deadline)

    async def pull(self, target: Target) -> AsyncIterator[PullProgress]:
        """See :class:`orchestrator.ports.lifecycle.Puller`. The model is one of its catalogue (``publisher/name``), or
        ``REPOSITORY:QUANTIZATION`` of Hugging Face."""
        asking, still = Asking(self._line, target), Stillness()
        await _rows(asking, QUICK)
        yield still.saw(PullProgress("asking", target.model))
        job = _job(await asking.post("/api/v1/models/download", _wanted(target.model), 60.0))
        pause = _FIRST_LOOK
        while (progress := _progress(job, target.model)).stage != "done":
            yield still.saw(progress)
            await still.wait(anyio.sleep(pause))
            pause = min(2 * pause, _SLOWEST_LOOK)
            said = _job(await still.wait(asking.get(f"/api/v1/models/download/status/{_id(job)}")))
            job = {**job, **said}
        yield progress


def _id(job: Mapping[str, Any]) -> str:
    if not text(job.get("job_id")):
        raise BrokenReply("LM Studio names no job for this download", cure="see its Downloads window")
    return text(job.get("job_id"))


def _job(said: Any) -> dict[str, Any]:
    job = inner({"said": said}, "said")
    if not text(job.get("status")):
        raise BrokenReply("LM Studio says nothing about this download", cure="see its Downloads window")
    return job


def _progress(job: Mapping[str, Any], model: str) -> PullProgress:
    """What a job says of itself. Raises ``ServerFailed`` for one that failed."""
    status, total = text(job.get("status")), count(job.get("total_size_bytes"))
    if status == "failed":
        why = text(job.get("error")) or text(job.get("message")) or "it gives no reason"
        error = with_cure(ServerFailed(f"LM Studio could not download {model}: {why}"))
        error.cure = error.cure or "pull again; its Downloads window shows more"
        raise error
    if status in ("completed", "already_downloaded"):
        return PullProgress("done", "", total, total)
    part = "paused in LM Studio" if status == "paused" else ""
    return PullProgress("downloading", part, count(job.get("downloaded_bytes")) or 0, total)


def _wanted(model: str) -> dict[str, str]:
    """A quantization can be named for what lies on Hugging Face only."""
    repository, colon, quantization = model.removeprefix(_HUGGING_FACE).partition(":")
    if not colon:
        return {"model": model}
    return {"model": f"{_HUGGING_FACE}{repository}", "quantization": quantization}


async def _unload(asking: Asking, instance: Mapping[str, Any], deadline: Deadline) -> None:
    body = {"instance_id": text(instance.get("id"))}
    await asking.post("/api/v1/models/unload", body, deadline.left)


async def _rows(asking: Asking, timeout: float) -> list[dict[str, Any]]:
    """Raises ``BadRequest`` for a version that has no such list."""
    try:
        value = await asking.get("/api/v1/models", timeout)
    except (ServerFailed, BadRequest) as error:
        raise BadRequest("this LM Studio cannot load or pull by HTTP", cure=_OLD) from error
    return objects(value.get("models")) if isinstance(value, dict) else []


async def _row(asking: Asking, model: str, timeout: float) -> dict[str, Any]:
    rows = await _rows(asking, timeout)
    for row in rows:
        if text(row.get("key")) == model or any(text(each.get("id")) == model for each in _instances(row)):
            return row
    known = ", ".join(text(row.get("key")) for row in rows[:8]) or "none"
    raise ModelNotFound(f"LM Studio at {asking.root} has no model {model}", cure=f"it has: {known}")


def _instances(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return objects(row.get("loaded_instances"))
