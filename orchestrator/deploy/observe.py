"""Look at what is there: the deployments that serve, the model servers that answer, the ports that are free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError
from orchestrator.core.hosts import distance_of_url
from orchestrator.deploy.plane import Seen, Workshop
from orchestrator.plan.binding import served_model
from orchestrator.plan.observed import NOBODY, ObservedServer, asked_at
from orchestrator.ports.device import Device
from orchestrator.ports.installed import is_plugin
from orchestrator.ports.provider import Identity, Secret, ServedModel

_SECOND_LOOK: Final = 0.3
"""Seconds after which a server that was there a moment ago and refuses now is asked once more."""


Spot = tuple[str, str]
"""Who is asked, and at which address: the makes of the table (an empty text), or a provider of another package by its name."""


class Observer:
    """Knows what model servers showed last, so that a busy moment of one does not look like its end. ``resting``: where servers of
    ours are that rest, and answer nobody."""

    def __init__(self, workshop: Workshop, resting: Callable[[], Iterable[str]] = tuple) -> None:
        self._workshop = workshop
        self._resting = resting
        self._known: dict[Spot, ObservedServer] = {}
        self.servers: tuple[ObservedServer, ...] = ()
        self.silent: dict[str, str] = {}
        self.device: Device | None = None

    async def look(self, blueprints: Iterable[Blueprint], started: Iterable[str] = ()) -> None:
        """Ask the usual places on this device, every address that a manifest names, and the servers that we ``started``. Cloud
        addresses are not asked; a provider of another package is asked only at the addresses that its models name, and takes
        no server from others. Of servers of ours that rest, also by the end of the look, what they showed last holds."""
        self.device = await anyio.to_thread.run_sync(self._workshop.sense)
        named = _named(blueprints, self._workshop)
        usual = (*started, *self._workshop.usual_places) if named.wanted else ()
        spots = [*dict.fromkeys([*named.spots, *(("", url) for url in usual)])]
        kept = self._kept(self._resting())
        spots = [spot for spot in spots if spot not in kept]
        seen = await self._seen(spots, named)
        lost = [spot for spot in self._known if spot in seen and seen[spot].state == "absent"]
        if lost:
            await anyio.sleep(_SECOND_LOOK)
            seen |= await self._seen(lost, named)
        kept |= self._kept(self._resting())
        found = {spot: server for spot in spots if (server := self._judged(spot, seen[spot])) is not None}
        self._known = found | kept
        self.servers = tuple({(by, server.url): server for (by, _), server in self._known.items()}.values())
        told = {asked_at(by, url): _silence(by, each) for (by, url), each in seen.items()}
        self.silent = named.silent | {key: why for key, why in told.items() if why}

    def _kept(self, urls: Iterable[str]) -> dict[Spot, ObservedServer]:
        return {spot: self._known[spot] for url in urls if (spot := ("", url)) in self._known}

    async def _seen(self, spots: Sequence[Spot], named: _Named) -> dict[Spot, Seen]:
        seen: dict[Spot, Seen] = {}
        for by in sorted({by for by, _ in spots}):
            places = [url for each, url in spots if each == by]
            keys = {url: key for (each, url), key in named.keys.items() if each == by}
            found = await self._workshop.look(places, keys, [by] if by else [])
            seen |= {(by, each.url): each for each in found}
        return seen

    def _judged(self, spot: Spot, seen: Seen) -> ObservedServer | None:
        known = self._known.get(spot)
        if seen.identity is not None:
            # It cannot tell its models just now, while it loads one or is busy: what it told before holds.
            models = known.models if seen.trouble and known else _as_told_before(seen.models, known)
            identity = _as_named_before(seen.identity, known)
            probed = self._workshop.probed(identity, models)
            return ObservedServer.of(identity, models, distance_of_url(spot[1]), probed)
        return known if seen.state == "foreign" and not seen.stranger else None


@dataclass(slots=True)
class _Named:
    """What manifests say of models: who is asked where, and with which keys; and why some providers cannot be used.
    ``wanted``: whether any model is of the makes of the table."""

    wanted: bool = False
    spots: list[Spot] = field(default_factory=list)
    keys: dict[Spot, Secret] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)


def _named(blueprints: Iterable[Blueprint], workshop: Workshop) -> _Named:
    named = _Named()
    for blueprint in blueprints:
        for element in blueprint.of_kind("model"):
            provider = str(element.spec["provider"]) if is_plugin(element.spec["provider"]) else ""
            if provider and not _opens(provider, named, workshop):
                continue
            if element.spec["zone"] != "cloud":
                named.wanted = named.wanted or not provider
                _name(named, provider, element.spec, Path(blueprint.folder), workshop)
    return named


def _opens(provider: str, named: _Named, workshop: Workshop) -> bool:
    """A package may be gone, or broken: whoever names it is told, and nobody else feels it."""
    try:
        workshop.provider(provider)
    except DeployError as error:
        named.silent[provider] = error.message
    return provider not in named.silent


def _name(named: _Named, provider: str, spec: Mapping[str, Any], folder: Path, workshop: Workshop) -> None:
    spot = (provider, spec["endpoint"])
    if spec["endpoint"]:
        named.spots.append(spot)
    if spec["endpoint"] and spec["api_key"]:
        try:
            named.keys[spot] = workshop.reveal(spec["api_key"], folder)
        except DeployError as error:
            named.silent[asked_at(*spot)] = error.message


def _silence(by: str, seen: Seen) -> str:
    """Why there is no server, or why it does not tell its models."""
    if seen.state == "served":
        return seen.trouble
    if seen.state == "absent":
        return seen.trouble or NOBODY
    why = seen.trouble or "it is no model server that is known"
    return why if why.startswith(by) else f"{by} does not know it: {why}"


def processes_of(servers: tuple[ObservedServer, ...]) -> set[tuple[str, str, str]]:
    """What tells one process of a server from the next at the same address."""
    return {(server.api_base, server.provider, server.version) for server in servers}


def _as_named_before(identity: Identity, known: ObservedServer | None) -> Identity:
    """A server that is busy, or about to end, may tell its make and not its version: it is the one that was there."""
    if known is None or identity.version or known.provider != identity.provider:
        return identity
    return replace(identity, version=known.version)


def _as_told_before(models: tuple[ServedModel, ...], known: ObservedServer | None) -> tuple[ServedModel, ...]:
    """Some servers tell the context and the slots of a model only while it is loaded. What they told last holds while it is
    not: else each load and each unload would make another deployment."""
    before = {model.id: model for model in known.models} if known else {}
    return tuple(
        replace(model, context=model.context or old.context, slots=model.slots or old.slots)
        if model.loaded is False and (old := before.get(model.id)) is not None
        else model
        for model in models
    )


def loaded_of(servers: tuple[ObservedServer, ...]) -> dict[str, bool]:
    """Which models are in memory, as far as their servers tell."""
    return {
        served_model(server.provider, server.api_base, model.id): model.loaded
        for server in servers
        for model in server.models
        if model.loaded is not None
    }
