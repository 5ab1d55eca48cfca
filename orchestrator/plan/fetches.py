"""Which models that no server serves could be brought by a server of this device: pulled, or loaded where they are hidden. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import urlsplit

from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.core.memory import Budget, sizes_of
from orchestrator.core.names import is_cloud_tag
from orchestrator.core.quantity import format_size
from orchestrator.plan.binding import Bound, beside_pinned, held_by_pinned
from orchestrator.plan.budgets import budget_beside_servers
from orchestrator.plan.builds import ids_of_build
from orchestrator.plan.generations import processes_of
from orchestrator.plan.lines import is_pulled, name_for
from orchestrator.plan.matching import allowed, rank, same_place
from orchestrator.plan.observed import ObservedServer, ObservedState, server_name
from orchestrator.plan.residence import forgets
from orchestrator.plan.started_words import LISTENS
from orchestrator.plan.variants import Variant, variants
from orchestrator.plan.wish import Wish
from orchestrator.ports.installed import is_plugin
from orchestrator.ports.provider import Capability


@dataclass(frozen=True, slots=True)
class Fetch:
    """What ``server`` brings for a model (``None``: one of this ``program`` that is still to be started): under ``name`` in a
    ``build`` of ``size`` bytes (``None``: nobody knows), both empty where the server chooses. ``asked`` is the id that it is asked
    for first, where that of the build is another one. ``exact``: the manifest chose the name, or the build. ``pulls`` where it
    fetches the model; else it may have it, lists only what is loaded, and is told to load it."""

    alias: str
    server: ObservedServer | None
    name: str
    build: str = ""
    size: int | None = None
    exact: bool = False
    pulls: bool = True
    api_key: str | None = None
    asked: str = ""
    program: str = ""

    def does(self) -> str:
        """In a few words."""
        where = f"the {self.program} that is started, where it lacks it"
        if self.server is not None:
            where = f"{self.server.provider} at {urlsplit(self.server.url).netloc}"
        if not self.pulls:
            return f"have {where} load {self.name}, where it has it"
        about = ", ".join([each for each in (self.build, format_size(self.size) if self.size else "") if each])
        return f"pull {self.asked or self.name} by {where}{f' ({about})' if about else ''}, and bind to it"


def fetches(blueprint: Blueprint, observed: ObservedState, bound: Mapping[str, Bound]) -> dict[str, Fetch]:
    """By alias: models of the blueprint that nothing serves as it is bound, where that helps. None that could not fit, none
    whose key is missing, none of a server that we start with the model itself, and none that only another machine would bring."""
    found = {}
    budget = budget_beside_servers(blueprint, observed)
    room = beside_pinned(budget, held_by_pinned(blueprint, bound, observed, budget)) if budget else None
    for element in blueprint.of_kind("model"):
        spec = cast(ModelSpec, element.spec)
        one = bound[spec["alias"]]
        if one.endpoints or one.locked or is_plugin(spec["provider"]):
            continue
        if spec["server"]:
            fetch = _into_started(spec, one, server_name(blueprint.name, spec["alias"]), room, observed)
        elif not one.starting:
            here = [server for server in allowed(spec, observed.servers) if server.zone == "node"]
            fetch = _fetch(spec, room, here, unfit=one.need is not None)
        else:
            continue
        if fetch is not None:
            found[spec["alias"]] = fetch
    return found


def _into_started(spec: ModelSpec, one: Bound, name: str, room: Budget | None, observed: ObservedState) -> Fetch | None:
    """What is pulled into a server of ours that holds several models: into a process of it that answers, as all have one store;
    where none does, once one is started. Nothing that is there, and only waits to be loaded."""
    wish, prospect = Wish.of(spec), observed.prospects.get(name)
    if wish is None or prospect is None or prospect.why:
        return None
    urls = [each.url for each in processes_of(name, observed.started) if each.state in LISTENS]
    here = [server for server in observed.servers for url in urls if same_place(server.url, url)]
    if here:
        there = any(wish.met_by(server.provider, server.models) for server in here)
        return None if there and one.need is None else _fetch(spec, room, here, unfit=one.need is not None)
    known, asked = variants(spec, room), name_for(prospect.kind, spec["ids"]) or (spec["named"] or "")
    if not one.starting or not asked or is_cloud_tag(asked) or (known and all(each.fit == "never" for each in known)):
        return None
    fetch = _pulled(spec, prospect.kind, asked, known)
    return replace(fetch, program=prospect.program) if fetch else None


def _fetch(spec: ModelSpec, room: Budget | None, here: Sequence[ObservedServer], *, unfit: bool) -> Fetch | None:
    """``unfit``: what is listed does not fit; another build may, where one is known."""
    known = variants(spec, room)
    if spec["zone"] != "node" or ((known or unfit) and all(each.fit == "never" for each in known)):
        return None
    for server in sorted(here, key=lambda server: (not _forgets(server), rank(spec, server))):
        name = name_for(server.provider, spec["ids"])
        if server.provider == "ollama" and is_cloud_tag(name):
            continue  # nothing comes of it but a name that passes requests on, which the manifest does not allow
        if is_pulled(server.provider, name) and server.capabilities.get(Capability.PULL) == "yes":
            fetch = _pulled(spec, server.provider, name, known)
            if fetch is not None:
                return replace(fetch, server=server)
        if name and _forgets(server) and server.capabilities.get(Capability.LOAD) == "yes":
            return Fetch(spec["alias"], server, name, pulls=False, api_key=spec["api_key"])
    return None


def _pulled(spec: ModelSpec, provider: str, name: str, known: tuple[Variant, ...]) -> Fetch | None:
    """What a server of this make that pulls is asked for; ``None`` where nobody knows what it calls the build that the manifest
    names."""
    wanted = spec["quantization"] or next((each.build for each in known if each.chosen), "")
    ids = ids_of_build(provider, name, wanted, spec["served_as"].get(provider, "")) if wanted else []
    key, asked = spec["api_key"], next(iter(ids), "")
    if spec["named"] is not None:  # that, and nothing that the catalogue knows
        return Fetch(spec["alias"], None, asked if spec["quantization"] and asked else name, exact=True, api_key=key)
    if spec["quantization"] and not ids:
        return None
    build = wanted if ids else ""
    size = sizes_of(spec).weights(build) if build else None
    return Fetch(spec["alias"], None, name, build, size, bool(spec["quantization"]), api_key=key, asked=asked)


def _forgets(server: ObservedServer) -> bool:
    return forgets(server.provider, server.capabilities)
