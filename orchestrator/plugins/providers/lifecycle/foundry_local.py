"""Foundry Local: 2.x loads by alias and answers under the id of a variant; the older service loads by name and downloads.

2.x: from the sources of its web service (``/models/load/{alias}``, ``/models/unload/{alias}``, ``/models/loaded``); it has
no download by HTTP. Older: from its REST reference (``/openai/load``, ``/openai/unload``, ``/openai/download``,
``/foundry/list``).
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Literal
from urllib.parse import quote

from orchestrator.core.errors import BadRequest, BrokenReply, ModelError, ModelNotFound, ServerBusy, ServerFailed
from orchestrator.plugins.providers.lifecycle.asking import QUICK, Asking, Deadline, Stillness, refuse
from orchestrator.plugins.providers.lifecycle.cures import with_cure
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.makes.make import count, objects, text
from orchestrator.ports.lifecycle import Loaded, LoadOptions, PullProgress
from orchestrator.ports.provider import Support, Target

_MEGABYTE: Final = 1024 * 1024
_FILE: Final = re.compile(r'\(\s*"(?P<file>[^"]*)"\s*,\s*(?P<share>[\d.]+)\s*\)|(?P<percent>[\d.]+)\s*%')
_VARIANT: Final = re.compile(r"-[a-z0-9]+-(?:cpu|gpu|npu)(?::\d+)?$", re.IGNORECASE)
"""What the id of a variant has after the name of its model: qwen2.5-0.5b-instruct-generic-cpu:4."""
_CONTEXT: Final = "Foundry Local takes the context from the model itself; leave it out"
_TTL: Final = "give the idle time when the server is started (foundry server start --idle-timeout), or leave it out"


class FoundryLifecycle:
    """``Loader`` and ``Puller`` for Foundry Local; 2.x refuses a pull."""

    _line: HttpLine
    pull_goes_on = False
    pull_is_kept = Support.UNKNOWN

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:
        """See :class:`orchestrator.ports.lifecycle.Loader`. ``Target.model`` may be an alias or the id of a variant."""
        asking, deadline = Asking(self._line, target), Deadline(timeout)
        refuse(options, "context", _CONTEXT)
        if await _is_new(asking):
            refuse(options, "keep_alive", _TTL)
            return await _load(asking, target.model, deadline)
        return await _load_old(asking, target.model, options, deadline)

    async def unload(self, target: Target, timeout: float) -> None:
        """See :class:`orchestrator.ports.lifecycle.Loader`."""
        asking, deadline = Asking(self._line, target), Deadline(timeout)
        if not await _is_new(asking):
            name = text((await _old_entry(asking, target.model)).get("name"))
            await asking.get(f"/openai/unload/{quote(name, safe='')}?force=true", deadline.left)
            return
        try:
            await _by_alias(asking, "unload", target.model, deadline)
        except ServerFailed as error:
            raise ServerBusy(f"{target.model} still answers requests: {error.message}") from error

    async def pull(self, target: Target) -> AsyncIterator[PullProgress]:
        """See :class:`orchestrator.ports.lifecycle.Puller`."""
        asking, still = Asking(self._line, target), Stillness("pull again")
        if await _is_new(asking):
            cure = f"foundry model download {target.model}"
            raise BadRequest("Foundry Local 2 downloads by its SDK and its command only", cure=cure)
        entry = await _old_entry(asking, target.model)
        size = (count(entry.get("fileSizeMb")) or 0) * _MEGABYTE or None
        yield still.saw(PullProgress("asking", text(entry.get("name"))))
        coming, printed = await asking.open("POST", "/openai/download", _order(entry), still), Printed(size)
        try:
            while piece := await coming.read():
                for progress in printed.take(piece):
                    yield still.saw(progress)
        finally:
            coming.close()
        printed.check(target.model)
        yield PullProgress("done", "", size, size)


class Printed:
    """Reads what the older service prints while it downloads: shares of files, or of the whole, and an object at the end.

    ``size``: bytes of the whole, where its list tells. Pure.
    """

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._line = ""
        self._object = ""

    def take(self, piece: bytes) -> list[PullProgress]:
        """What these bytes tell."""
        *lines, self._line = (self._line + piece.decode("utf-8", "replace")).split("\n")
        return [progress for line in lines if (progress := self._read(line)) is not None]

    def check(self, model: str) -> None:
        """At the end. Raises ``ServerFailed`` with its reason, or ``BrokenReply`` where it was cut off."""
        self._read(self._line)
        try:
            outcome = json.loads(self._object, strict=False)
        except ValueError as error:
            cut = "Foundry Local ended the download without saying that it is done"
            raise BrokenReply(cut, cure="pull again to go on") from error
        if not (outcome.get("success") or outcome.get("Success")):
            why = outcome.get("ErrorMessage") or outcome.get("errorMessage") or "no reason given"
            raise with_cure(ServerFailed(f"Foundry Local could not download {model}: {why}"))

    def _read(self, line: str) -> PullProgress | None:
        if self._object or line.lstrip().startswith("{"):
            self._object += line
            return None
        found = _FILE.search(line)
        if found is None:
            return None
        if found["file"] is not None:  # how large each file is, it does not say
            return PullProgress("downloading", f"{found['file']} {float(found['share']):.0%}", None, self._size)
        share = min(1.0, float(found["percent"]) / 100)
        return PullProgress("downloading", "", int(share * self._size) if self._size else None, self._size)


async def _is_new(asking: Asking) -> bool:
    """Whether it is 2.x; the older service has no ``/status``."""
    try:
        return isinstance(await asking.get("/status"), dict)
    except (BadRequest, ModelNotFound, ServerFailed, BrokenReply):
        return False


async def _load(asking: Asking, model: str, deadline: Deadline) -> Loaded:
    before = await _names(asking, "/models/loaded", deadline.left)
    said = await _by_alias(asking, "load", model, deadline)
    there = isinstance(said, dict) and said.get("status") == "already_loaded"
    after = await _names(asking, "/models/loaded", deadline.left)
    new = [name for name in after if name not in before] or [name for name in after if _same(name, model)]
    if not new:
        raise ServerFailed(f"Foundry Local says that it loaded {model}, but does not list it as loaded")
    return Loaded(0.0 if there else deadline.taken, model=new[0])


async def _by_alias(asking: Asking, act: Literal["load", "unload"], model: str, deadline: Deadline) -> Any:
    """Load and unload take an alias. Raises ``ModelNotFound`` with what the server said of the first name that was tried."""
    first: ModelError | None = None
    for alias in await _aliases(asking, model):
        try:
            return await asking.get(f"/models/{act}/{quote(alias, safe='')}", deadline.left)
        except (BadRequest, ModelNotFound) as error:
            first = first or error
    cure = f"foundry model download {model}; load takes an alias of `foundry model list`"
    raise ModelNotFound(f"Foundry Local does not have {model}: {first and first.message}", cure=cure) from first


async def _aliases(asking: Asking, model: str) -> list[str]:
    """The alias that the catalogue tells for a variant; where it tells none, the name itself and what it is a variant of."""
    value = await asking.get("/v1/models", QUICK)
    cards = objects(value.get("data")) if isinstance(value, dict) else []
    told = next((text(card.get("alias")) for card in cards if text(card.get("id")) == model), "")
    stem = _VARIANT.sub("", model)
    return [told] if told else list(dict.fromkeys((model, stem, stem.removesuffix("-instruct"))))


def _same(name: str, model: str) -> bool:
    """Whether a loaded variant is what was asked for."""
    one, other = (_VARIANT.sub("", each.casefold()).removesuffix("-instruct") for each in (name, model))
    return one == other


async def _load_old(asking: Asking, model: str, options: LoadOptions, deadline: Deadline) -> Loaded:
    name = text((await _old_entry(asking, model)).get("name"))
    there = name in await _names(asking, "/openai/loadedmodels", deadline.left)
    rests = options.keep_alive is not None and options.keep_alive != float("inf")
    ttl = f"?ttl={round(options.keep_alive or 0)}" if rests else ""
    await asking.get(f"/openai/load/{quote(name, safe='')}{ttl}", deadline.left)
    if name not in await _names(asking, "/openai/loadedmodels", deadline.left):
        raise ServerFailed(f"Foundry Local says that it loaded {name}, but does not list it as loaded")
    return Loaded(0.0 if there else deadline.taken, model=name)


async def _old_entry(asking: Asking, model: str) -> dict[str, Any]:
    """Its catalogue's entry of a name or an alias; of several variants one that is there already, else the first."""
    value = await asking.get("/foundry/list", QUICK)
    listed = objects(value.get("models")) if isinstance(value, dict) else []
    there = await _names(asking, "/openai/models", QUICK)
    found = [entry for entry in listed if model in (text(entry.get("name")), text(entry.get("alias")))]
    found.sort(key=lambda entry: text(entry.get("name")) not in there)
    if found:
        return found[0]
    if model in there:
        return {"name": model}
    cure = "`foundry model list` shows what there is"
    raise ModelNotFound(f"Foundry Local at {asking.root} knows no model {model}", cure=cure)


async def _names(asking: Asking, path: str, timeout: float) -> list[str]:
    value = await asking.get(path, timeout)
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _order(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What it wants to know of a model that it listed itself; its client libraries add ``Local`` to the maker's name."""
    provider = text(entry.get("providerType"))
    model = {
        "Uri": text(entry.get("uri")),
        "Name": text(entry.get("name")),
        "ProviderType": f"{provider}Local" if provider.casefold() == "azurefoundry" else provider,
        "Publisher": text(entry.get("publisher")),
        "PromptTemplate": entry.get("promptTemplate"),
    }
    return {"model": model, "ignorePipeReport": True}
