"""Foundry Local: the provider of both generations. Of 2.x on this device it also sees the cache, where a Python has the SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from orchestrator.core.errors import BadRequest, ModelError, ModelNotFound, ServerFailed
from orchestrator.core.extras import install_line
from orchestrator.plugins.providers.compatible import CompatibleProvider
from orchestrator.plugins.providers.lifecycle.foundry_local import FoundryLifecycle
from orchestrator.plugins.providers.lifecycle.foundry_store import FoundryStore
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.makes.foundry_local import cache_of, with_cache
from orchestrator.plugins.providers.makes.make import Looks, Make, but
from orchestrator.ports.lifecycle import LoadOptions
from orchestrator.ports.probe import Heard
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Identity, Secret, ServedModel, Target

NOT_LOADED = "not loaded"
"""What 2.x says of a model that it has and that nobody has loaded."""


class FoundryProvider(FoundryLifecycle, CompatibleProvider):
    """Foundry Local: loads, also for a call that finds its model not loaded; pulls and removes where it is the older service (a
    pull only) or its cache is at hand."""

    def __init__(self, make: Make, line: HttpLine | None = None, store: FoundryStore | None = None) -> None:
        super().__init__(make, line)
        self._store = store or FoundryStore()
        self._trouble: dict[str, str] = {}
        self._called: dict[tuple[str, str], str] = {}
        """The variants by which calls go, by the address and the name that they give."""

    def judge(self, root: str, looks: Looks) -> Identity | None:
        """Who answered so, and what can be done with its cache from here."""
        identity = super().judge(root, looks)
        cache = cache_of(root, looks["/status"].document)
        if identity is None or cache is None:
            return identity
        if not self._store.there:
            return replace(identity, notes=(*identity.notes, f"pull and remove need {install_line('foundry')}"))
        able = but(identity.capabilities, pull="yes", remove="yes", context_told="yes")
        trouble = self._trouble.get(root)
        notes = (*identity.notes, f"its cache is not listed: {trouble}") if trouble else identity.notes
        return replace(identity, capabilities=able, notes=notes, store=str(cache))

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        """What is loaded, and where the cache is at hand what is in it."""
        served = await super().models(identity, api_key)
        status = (await self.look(identity.url, api_key, ("/status",)))["/status"].document
        cache = cache_of(identity.url, status)
        if cache is None or not self._store.there:
            return served
        try:
            variants = await self._store.variants(cache, identity.url)
        except ServerFailed as error:
            self._trouble[identity.url] = (
                error.line
            )  # the service answers all the same: the next look says what is missing
            return served
        self._trouble.pop(identity.url, None)
        return with_cache(served, variants)

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer; a model that is there and not loaded is loaded first."""
        call = self._named(call)
        try:
            return await super().chat(call)
        except (BadRequest, ModelNotFound) as error:
            return await super().chat(await self._loaded(call, error))

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer in pieces; a model that is there and not loaded is loaded first."""
        call, begun = self._named(call), False
        try:
            async with aclosing(super().stream(call)) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
                async for delta in deltas:
                    begun = True
                    yield delta
            return
        except (BadRequest, ModelNotFound) as error:
            if begun:
                raise
            call = await self._loaded(call, error)
        async with aclosing(super().stream(call)) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
            async for delta in deltas:
                yield delta

    async def embed(self, target: Target, texts: tuple[str, ...], timeout: float) -> tuple[tuple[float, ...], ...]:
        """One vector a text; a model that is there and not loaded is loaded first."""
        target = self._target(target)
        try:
            return await super().embed(target, texts, timeout)
        except (BadRequest, ModelNotFound) as error:
            return await super().embed(await self._loaded_target(target, timeout, error), texts, timeout)

    async def hear(self, call: ChatCall, stream: bool) -> Heard:
        """What comes of a call, unread, of a model that is loaded."""
        heard = await super().hear(self._named(call), stream)
        if not _lacks(heard):
            return heard
        return await super().hear(await self._loaded(call, BadRequest(heard.text[:200])), stream)

    async def hear_embedding(self, target: Target, text: str, timeout: float) -> Heard:
        """The same for one embedding."""
        heard = await super().hear_embedding(self._target(target), text, timeout)
        if not _lacks(heard):
            return heard
        target = await self._loaded_target(target, timeout, BadRequest(heard.text[:200]))
        return await super().hear_embedding(target, text, timeout)

    def _named(self, call: ChatCall) -> ChatCall:
        return replace(call, target=self._target(call.target))

    def _target(self, target: Target) -> Target:
        name = self._called.get((target.api_base, target.model))
        return replace(target, model=name) if name else target

    async def _loaded(self, call: ChatCall, error: ModelError) -> ChatCall:
        return replace(call, target=await self._loaded_target(call.target, call.timeout, error))

    async def _loaded_target(self, target: Target, timeout: float, error: ModelError) -> Target:
        """What to ask instead, after it was loaded; raises ``error`` where that is another fault than its absence."""
        waits = NOT_LOADED in error.message.casefold()
        if not (waits or isinstance(error, ModelNotFound)) or not await self._loads_by_alias(target):
            raise error
        loaded = await self.load(target, LoadOptions(), timeout)
        if loaded.model == target.model and not waits:
            raise error
        self._called[target.api_base, target.model] = loaded.model
        return replace(target, model=loaded.model)


def _lacks(heard: Heard) -> bool:
    return heard.status == 400 and NOT_LOADED in heard.text.casefold()
