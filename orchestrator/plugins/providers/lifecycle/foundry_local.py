"""Foundry Local: 2.x loads by alias and answers under the id of a variant; the older service loads by name and downloads.

2.x: from the sources of its web service (``/models/load/{alias}``, ``/models/unload/{alias}``, ``/models/loaded``), which has
no download and no removal: its SDK has. Older: from its REST reference (``/openai/load``, ``/openai/unload``,
``/openai/download``, ``/foundry/list``).
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from orchestrator.core.errors import BadRequest, BrokenReply, ModelError, ModelNotFound, ServerBusy, ServerFailed
from orchestrator.core.extras import install_line
from orchestrator.plugins.providers.lifecycle.asking import QUICK, Asking, Deadline, Stillness, refuse
from orchestrator.plugins.providers.lifecycle.cures import with_cure
from orchestrator.plugins.providers.lifecycle.foundry_store import FoundryStore
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.makes.foundry_local import cache_of
from orchestrator.plugins.providers.makes.foundry_variant import Variant
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
    """``Loader``, ``Puller`` and ``Remover`` for Foundry Local; 2.x without its SDK refuses the last two, the older service the
    last."""

    _line: HttpLine
    _store: FoundryStore
    pull_goes_on = False
    pull_is_kept = Support.UNKNOWN

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:
        """See :class:`orchestrator.ports.lifecycle.Loader`. ``Target.model`` may be an alias or the id of a variant."""
        asking, deadline = Asking(self._line, target), Deadline(timeout)
        refuse(options, "context", _CONTEXT)
        if await _is_new(asking):
            refuse(options, "keep_alive", _TTL)
            return await _load(asking, target.model, deadline, await self._known(asking))
        return await _load_old(asking, target.model, options, deadline)

    async def unload(self, target: Target, timeout: float) -> None:
        """See :class:`orchestrator.ports.lifecycle.Loader`."""
        asking, deadline = Asking(self._line, target), Deadline(timeout)
        if not await _is_new(asking):
            name = text((await _old_entry(asking, target.model)).get("name"))
            await asking.get(f"/openai/unload/{quote(name, safe='')}?force=true", deadline.left)
            return
        try:
            await _by_alias(asking, "unload", target.model, deadline, await self._known(asking))
        except ServerFailed as error:
            raise ServerBusy(f"{target.model} still answers requests: {error.message}") from error

    async def pull(self, target: Target) -> AsyncIterator[PullProgress]:
        """See :class:`orchestrator.ports.lifecycle.Puller`."""
        asking, still = Asking(self._line, target), Stillness("pull again")
        if await _is_new(asking):
            async with aclosing(self._pull_by_sdk(asking, target.model)) as told:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
                async for progress in told:
                    yield progress
            return
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

    async def _pull_by_sdk(self, asking: Asking, model: str) -> AsyncIterator[PullProgress]:
        cache = await self._cache(asking, f"foundry model download {model}")
        async with aclosing(self._store.pull(cache, model)) as told:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
            async for progress in told:
                if progress.stage == "done":
                    await asking.get("/v1/models", QUICK)  # only then it sees what has come
                yield progress

    async def remove(self, target: Target) -> None:
        """See :class:`orchestrator.ports.lifecycle.Remover`. What is loaded is unloaded first."""
        asking = Asking(self._line, target)
        if not await _is_new(asking):
            raise BadRequest("this Foundry Local deletes no models", cure=f"foundry cache remove {target.model}")
        cache = await self._cache(asking, f"foundry cache remove {target.model}")
        variant = _variant_of(await self._known(asking), target.model)
        if variant is not None and variant.id in await _names(asking, "/models/loaded", QUICK):
            await self.unload(target, QUICK)
        await self._store.remove(cache, asking.root, target.model)

    async def _loads_by_alias(self, target: Target) -> bool:
        return await _is_new(Asking(self._line, target))

    async def _cache(self, asking: Asking, instead: str) -> Path:
        """Where the cache of a 2.x is. Raises ``BadRequest`` where it cannot be worked on from here; ``instead`` is a line to type
        on its machine."""
        cache = cache_of(asking.root, await asking.get("/status"))
        if cache is None:
            raise BadRequest(
                "its models are kept on another device, or in a folder that only it can find", cure=instead
            )
        if not self._store.there:
            message = "Foundry Local 2 pulls and removes by its SDK only, which is not installed"
            raise BadRequest(message, cure=f"{install_line('foundry')}; or: {instead}")
        return cache

    async def _known(self, asking: Asking) -> tuple[Variant, ...]:
        """Its catalogue with aliases, as the SDK tells; empty where that is not asked."""
        cache = cache_of(asking.root, await asking.get("/status"))
        return await self._store.variants(cache, asking.root) if cache is not None and self._store.there else ()


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


def _variant_of(variants: Iterable[Variant], model: str) -> Variant | None:
    """What a name means: the id of a variant, that without its version, or an alias, of which rather one that is there."""
    ranked = sorted(variants, key=lambda variant: not variant.cached)
    named = (variant for variant in ranked if model in (variant.id, variant.id.partition(":")[0]))
    return next(named, None) or next((variant for variant in ranked if variant.alias == model), None)


def _alias_of(variants: Iterable[Variant], model: str) -> str:
    variant = _variant_of(variants, model)
    return variant.alias if variant is not None else ""


async def _load(asking: Asking, model: str, deadline: Deadline, known: tuple[Variant, ...]) -> Loaded:
    wanted = _variant_of(known, model)
    if wanted is not None and not wanted.cached:
        cure = f"orchestrator models pull {model} --endpoint {asking.root}"
        raise ModelNotFound(f"{wanted.id} is not in the cache of the Foundry Local at {asking.root}", cure=cure)
    before = await _names(asking, "/models/loaded", deadline.left)
    said = await _by_alias(asking, "load", model, deadline, known)
    there = isinstance(said, dict) and said.get("status") == "already_loaded"
    after = await _names(asking, "/models/loaded", deadline.left)
    new = [name for name in after if name not in before] or [name for name in after if _same(name, model)]
    alias = _alias_of(known, model)
    new = new or [variant.id for variant in known if variant.alias == alias and variant.id in after]
    if not new:
        raise ServerFailed(f"Foundry Local says that it loaded {model}, but does not list it as loaded")
    named = [name for name in new if _is_variant(name, model)]
    if _VARIANT.search(model) and not named:
        cure = f"name the alias where any variant will do, or bring that one: foundry model download {model}"
        raise ModelNotFound(f"Foundry Local loads by alias, and took {new[0]} in place of {model}", cure=cure)
    return Loaded(0.0 if there else deadline.taken, model=(named or new)[0])


async def _by_alias(
    asking: Asking, act: Literal["load", "unload"], model: str, deadline: Deadline, known: tuple[Variant, ...]
) -> Any:
    """Load and unload take an alias. Raises ``ModelNotFound`` with what the server said of the first name that was tried."""
    first: ModelError | None = None
    for name in await _aliases(asking, model, _alias_of(known, model)):
        try:
            return await asking.get(f"/models/{act}/{quote(name, safe='')}", deadline.left)
        except (BadRequest, ModelNotFound) as error:
            first = first or error
    cure = f"foundry model download {model}; load takes an alias of `foundry model list`"
    raise ModelNotFound(f"Foundry Local does not have {model}: {first and first.message}", cure=cure) from first


async def _aliases(asking: Asking, model: str, alias: str) -> list[str]:
    """The alias of a variant, where one is known; else the name itself and what it is a variant of. Its list of models is asked
    for in any case: it makes the service look into its cache."""
    value = await asking.get("/v1/models", QUICK)
    cards = objects(value.get("data")) if isinstance(value, dict) else []
    told = alias or next((text(card.get("alias")) for card in cards if text(card.get("id")) == model), "")
    stem = _VARIANT.sub("", model)
    return [told] if told else list(dict.fromkeys((model, stem, stem.removesuffix("-instruct"))))


def _is_variant(name: str, model: str) -> bool:
    """Whether a loaded variant is the one of this id, which may leave its version out."""
    return model.casefold() in (name.casefold(), name.casefold().partition(":")[0])


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
