"""Which of the servers that answer serve a model alias, best first; or why none does. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Final, cast
from urllib.parse import urlsplit

from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.core.digest import digest_of
from orchestrator.core.memory import PINNED, Budget, Need, kept
from orchestrator.plan.budgets import budget_beside_servers
from orchestrator.plan.builds import means
from orchestrator.plan.choosing import NOWHERE, Choice, Option, Surroundings, choose, is_other_build, option_of
from orchestrator.plan.generations import berth_of, instances_of, outlives, processes_of, serving
from orchestrator.plan.matching import COMPATIBLE, DISTANCE, allowed, is_written, rank, same_place, wanted_ids
from orchestrator.plan.observed import ObservedServer, ObservedState, Pin, Prospect, StartedServer, server_name
from orchestrator.plan.processes import as_told, in_processes
from orchestrator.plan.smaller import smaller
from orchestrator.plan.started_words import (
    EMPTY,
    model_of,
    not_ready,
    other_build,
    port_taken,
    removed,
    started_why,
    without_model,
)
from orchestrator.plan.tokens import is_bound, served_window, window
from orchestrator.plan.unserved import cure_of, other_builds, why_unserved
from orchestrator.plan.variants import variants
from orchestrator.ports.provider import Capability, Zone

CLOUD_BASES: Final[Mapping[str, str]] = {"openai": "https://api.openai.com/v1"}
"""Where a cloud provider is when the manifest gives no address. It is never asked to find out what it serves."""
MEND: Final = "mend or install its package, and restart the runtime: `orchestrator runtime stop`"


@dataclass(frozen=True, slots=True)
class BoundEndpoint:
    """A live address that serves the model under ``model``. ``slots`` and ``context`` are ``None`` where nobody told;
    ``build`` is its quantization and what that was made for, ``memory`` the bytes that it is reckoned to take
    while it is loaded; ``keep_alive`` is how long the manifest lets it rest, in seconds, and ``pinned`` that it is never
    unloaded. ``process`` names that of ours which has it in memory for as long as it runs; ``holds`` are the bytes that this takes
    in all, or the model by what its server told while it was loaded. ``bounded``: it is the manifest that gives ``context``, not
    the server.

    ``id`` is the same for every alias and deployment that calls the same model on the same server with the same key.
    """

    id: str
    provider: str
    api_base: str
    model: str
    zone: Zone = "node"
    slots: int | None = None
    context: int | None = None
    bounded: bool = False
    api_key: str | None = None
    capabilities: Mapping[str, str] = field(default_factory=dict)
    build: str = ""
    memory: int | None = None
    keep_alive: float | None = None
    pinned: bool = False
    process: str = ""
    holds: int = 0

    def __str__(self) -> str:
        return f"{self.provider} at {urlsplit(self.api_base).netloc}"

    @property
    def served(self) -> str:
        """The model on its server, whatever the key: what is loaded once."""
        return served_model(self.provider, self.api_base, self.model)

    @property
    def loads_here(self) -> bool:
        """Whether its server is on this device and loads it on request."""
        return self.zone == "node" and self.capabilities.get(Capability.LOAD) == "yes"


@dataclass(frozen=True, slots=True)
class Bound:
    """What serves an alias. Without ``endpoints``, ``missing`` says why and ``cure`` what to type; ``locked`` where it is
    only its key that is missing; ``starting`` names the program where this plan starts a server for it. ``why`` says why this
    build of the first endpoint, ``rejected`` why not another one; ``need`` is what that takes, and ``tight`` says so where it is
    more than models should take here. The first ``equals`` endpoints may share the work."""

    alias: str
    endpoints: tuple[BoundEndpoint, ...] = ()
    missing: str = ""
    cure: str = ""
    locked: bool = False
    starting: str = ""
    why: str = ""
    rejected: tuple[str, ...] = ()
    need: Need | None = None
    tight: bool = False
    equals: int = 1


def served_model(provider: str, api_base: str, model: str) -> str:
    """The id of a model on a server."""
    return f"{provider}@{urlsplit(api_base).netloc}/{model}"


def bind_all(blueprint: Blueprint, observed: ObservedState) -> dict[str, Bound]:
    """Every model alias of the blueprint."""
    specs = [cast(ModelSpec, element.spec) for element in blueprint.of_kind("model")]
    around = Surroundings(observed.device, budget_beside_servers(blueprint, observed))
    bound = {
        spec["alias"]: (
            bind_started(spec, blueprint.name, observed, around) if spec["server"] else bind(spec, observed, around)
        )
        for spec in specs
    }
    held = held_by_pinned(blueprint, bound, observed, around.budget)
    return bound | (dict(_beside(held, bound, specs, observed, around)) if held else {})


def held_by_pinned(
    blueprint: Blueprint, bound: Mapping[str, Bound], observed: ObservedState, budget: Budget | None
) -> dict[str, Pin]:
    """What pinned models keep of a limit that is written, by what is served: first those of other deployments, which have
    their room already, then of its own those that fit beside them."""
    if budget is None or budget.limit is None:
        return {}
    held = {
        pin.served: replace(pin, name=f"{pin.name} of {each.name}")
        for each in observed.deployments.values()
        for pin in each.pinned
        if each.name != blueprint.name
    }
    own: dict[str, Pin] = {}  # aliases of one model on one server are loaded once
    for alias, there in bound.items():
        for one in there.endpoints[:1]:
            if one.pinned and one.loads_here and one.memory is not None and one.served not in held:
                own.setdefault(one.served, Pin(one.served, alias, one.memory))
    room = budget.total - sum(pin.memory for pin in held.values())
    return held | {served: own[served] for served in kept({pin.served: pin.memory for pin in own.values()}, room)}


def beside_pinned(budget: Budget, held: Mapping[str, Pin]) -> Budget:
    """What pinned models leave of it."""
    return budget.less({pin.name: pin.memory for pin in held.values()}, PINNED)


def _beside(
    held: Mapping[str, Pin],
    bound: Mapping[str, Bound],
    specs: Sequence[ModelSpec],
    observed: ObservedState,
    around: Surroundings,
) -> Iterator[tuple[str, Bound]]:
    """The others, with what the pinned ones leave them."""
    room = replace(around, budget=around.budget and beside_pinned(around.budget, held), spares=True)
    names = " and ".join(pin.name for pin in held.values())
    for spec in specs:
        each = bound[spec["alias"]]
        if spec["server"] or not each.endpoints or each.endpoints[0].served in held:
            continue
        again = bind(spec, observed, room)
        yield spec["alias"], again if again.endpoints else replace(again, cure=f"do not pin {names}, or {again.cure}")


def bind_started(spec: ModelSpec, deployment: str, observed: ObservedState, around: Surroundings) -> Bound:
    """The endpoint of a server that we start for this alias of this deployment, and no other: of the process that runs as it is
    wanted, or is started again after an exit, or of the one that serves until that is ready. One that loads models on request is
    asked for the build that fits, as one that is found."""
    alias, name = spec["alias"], server_name(deployment, spec["alias"])
    prospect = observed.prospects.get(name)
    if prospect is not None and prospect.why:
        if outlives(prospect, observed.started) is None:
            return Bound(alias, (), prospect.why, prospect.cure)
        prospect = replace(prospect, instances=len(processes_of(name, observed.started)))
    program = prospect.program if prospect else ""
    berth = berth_of(name, prospect, observed.started) if prospect else None
    again = berth is not None and berth.now is not None and berth.now.state == "failed" and observed.retries
    if berth is not None and (berth.how != "there" or again):
        return Bound(alias, (), f"{program} is not started yet", "`orchestrator apply` starts it", starting=program)
    started = berth.now if berth else next(iter(processes_of(name, observed.started)), None)
    if started is None:
        return Bound(alias, (), "its server is not started")
    if not started.answers:
        started = serving(name, observed.started) or started
    wanted = (
        instances_of(name, prospect, observed.started) if prospect and started.digest == prospect.digest else [started]
    )
    able = [each for each in wanted if each.answers] or [each for each in wanted if each.returns]
    there = [(each, server) for each in able for server in observed.servers if same_place(server.url, each.url)]
    if not there:
        return Bound(alias, (), *_not_there(spec, started, prospect, observed, around))
    return _bound_to(spec, there, prospect, around)


def _not_there(
    spec: ModelSpec,
    started: StartedServer,
    prospect: Prospect | None,
    observed: ObservedState,
    around: Surroundings,
) -> tuple[str, str]:
    """Why the process is not bound: it is not ready, or has the model not yet, or in another build."""
    where = [each for each in observed.servers if started.state == EMPTY and same_place(each.url, started.url)]
    options = [option for server in where for option in _on_request(spec, server, around)]
    if where and all(is_other_build(spec, option) for option in options):
        return other_builds(spec, options) if options else without_model(spec, started, where[0])
    taken = (port_taken(prospect, observed.started) or prospect.taken) if prospect else ""
    return not_ready(started, (prospect.program if prospect else "") or started.kind, taken)


def _bound_to(
    spec: ModelSpec,
    there: Sequence[tuple[StartedServer, ObservedServer]],
    prospect: Prospect | None,
    around: Surroundings,
) -> Bound:
    """Processes of ours that are ready, each as it answers."""
    alias = spec["alias"]
    offered = [_on_request(spec, server, as_told(each, around)) for each, server in there]
    choices = [choose(spec, options, around) for options in offered if options]
    if choices:
        bound = _bound(spec, choices, around)
        return replace(bound, endpoints=in_processes(bound.endpoints, there))
    have = [(each, server) for each, server in there if not removed(each, server, alias)]
    if not have:
        return Bound(alias, (), *without_model(spec, *there[0]))
    listed = [option_of(spec, server, model_of(each, server, alias), (0, True), NOWHERE) for each, server in have]
    served = [option for option in listed if not is_other_build(spec, option)]
    if not served:
        return Bound(alias, (), *other_build(listed[0], spec["quantization"] or ""))
    why = started_why(spec, served[0], prospect.build if prospect else "")
    endpoints = in_processes([_endpoint(spec, option) for option in served], there)
    return Bound(alias, endpoints, why=why, need=served[0].need, equals=len(endpoints))


def _on_request(spec: ModelSpec, server: ObservedServer, around: Surroundings) -> list[Option]:
    return _options(spec, server, around) if server.capabilities.get(Capability.LOAD) == "yes" else []


def bind(spec: ModelSpec, observed: ObservedState, around: Surroundings = NOWHERE) -> Bound:
    """Endpoints for one alias: the named address only where one is named, else what answers on this device; near before
    far, then in the order in which the manifest or the catalogue names providers. Models that a local server only
    forwards to another machine count as cloud, and the cloud is used only where the manifest says so."""
    locked = observed.locked.get(spec["api_key"] or "")
    if locked is not None:
        return Bound(spec["alias"], (), f"{spec['alias']}: {locked[0]}", locked[1], locked=True)
    broken = observed.silent.get(spec["provider"] or "")
    if broken:
        return Bound(spec["alias"], (), broken, MEND)
    if spec["zone"] == "cloud" and _cloud_base(spec):
        return Bound(spec["alias"], (_in_cloud(spec),))
    servers = sorted(allowed(spec, observed.servers), key=lambda server: rank(spec, server))
    choices = [choose(spec, options, around) for server in servers if (options := _options(spec, server, around))]
    if not choices:
        return _hopeless(spec, around) or Bound(
            spec["alias"], (), why_unserved(spec, observed), cure_of(spec, observed)
        )
    return _bound(spec, choices, around)


def _bound(spec: ModelSpec, choices: list[Choice], around: Surroundings) -> Bound:
    """Servers whose build fits come first; where all that are listed can never fit, the arithmetic says so; where none is the
    build that the manifest names, it is told which there are."""
    used = [(choice, choice.option) for choice in choices if choice.option]
    if not used:
        options = [option for choice in choices for option in choice.options]
        named = [option for option in options if not is_other_build(spec, option)]
        return _too_large(spec, named, around) if named else Bound(spec["alias"], (), *other_builds(spec, options))
    used.sort(key=lambda each: each[1].fit != "fits")
    best, first = used[0]
    return Bound(
        spec["alias"],
        tuple(_endpoint(spec, option) for _, option in used),
        why=best.why,
        rejected=tuple(reason for choice in choices for reason in choice.rejected),
        need=first.need,
        tight=first.fit == "tight",
        equals=_equals([option for _, option in used], around.budget),
    )


def _equals(options: list[Option], budget: Budget | None) -> int:
    """How many of them serve the same build at the same distance: they may share the work. On this device only where all
    fit in memory together, since each server loads the model for itself."""
    first = options[0]
    same = list(
        takewhile(
            lambda each: (
                (each.build, each.server.zone, each.model.remote)
                == (first.build, first.server.zone, first.model.remote)
            ),
            options,
        )
    )
    if first.server.zone != "node" or len(same) == 1:
        return len(same)
    sizes = [option.need.total for option in same if option.need]
    return len(same) if budget is not None and len(sizes) == len(same) and sum(sizes) <= budget.total else 1


def _too_large(spec: ModelSpec, options: list[Option], around: Surroundings) -> Bound:
    """None of the builds that are served can ever fit: the arithmetic of the smallest says it."""
    sized = [(option.need.total, option.model.id, option.need) for option in options if option.need]
    _, name, need = min(sized, key=lambda each: each[:2])
    budget = around.budget
    missing = f"{spec['alias']} does not fit this device: {name} needs {need}, and models may take {budget}"
    return Bound(spec["alias"], (), missing, smaller(spec, need, budget) if budget else "", need=need)


def _hopeless(spec: ModelSpec, around: Surroundings) -> Bound | None:
    """No server here lists it, and none here could load it: there is no use in fetching it."""
    known = variants(spec, around.budget)
    if spec["endpoint"] or not known or any(variant.fit != "never" for variant in known):
        return None
    least = min((variant.need for variant in known), key=lambda need: need.total)
    missing = f"{spec['alias']} does not fit this device: it needs {least}, and models may take {around.budget}"
    return Bound(spec["alias"], (), missing, smaller(spec, least, around.budget) if around.budget else "", need=least)


def _options(spec: ModelSpec, server: ObservedServer, around: Surroundings) -> list[Option]:
    """Every build of the model that the server lists. One that the manifest puts at an address as making vectors may be told as
    writing: llama-server tells that of every model."""
    kinds = {spec["kind"], "unknown", *(("chat",) if spec["kind"] == "embedding" and spec["endpoint"] else ())}
    usable = [model for model in server.models if model.kind in kinds and (spec["zone"] == "cloud" or not model.remote)]
    found: dict[str, Option] = {}
    for number, wanted in enumerate(wanted_ids(spec, server.provider)):
        for model in usable:
            if model.id not in found and means(server.provider, wanted, model, any_build=not is_written(spec)):
                matched = (number, model.id.casefold() == wanted.casefold())
                found[model.id] = option_of(spec, server, model, matched, around)
    return list(found.values())


def _endpoint(spec: ModelSpec, option: Option) -> BoundEndpoint:
    server, model = option.server, option.model
    zone: Zone = "cloud" if model.remote else server.zone
    probed = server.probed.get(model.id, {})
    return BoundEndpoint(
        id=_endpoint_id(spec, server.provider, server.api_base, model.id),
        provider=server.provider,
        api_base=server.api_base,
        model=model.id,
        zone=max(zone, spec["zone"], key=lambda each: DISTANCE[each]),
        slots=spec["max_concurrent"] or model.slots or probed.get("slots"),
        context=window(spec, server, model),
        bounded=is_bound(spec, served_window(server, model)),
        api_key=spec["api_key"],
        capabilities={**server.capabilities, **probed.get("capabilities", {})},
        build=str(option.build),
        memory=option.need.total if option.need else None,
        holds=option.holds,
        keep_alive=spec["keep_alive"],
        pinned=spec["pinned"],
    )


def _endpoint_id(spec: ModelSpec, provider: str, api_base: str, model: str) -> str:
    key = f"#{digest_of(spec['api_key'])[:6]}" if spec["api_key"] else ""
    return f"{served_model(provider, api_base, model)}{key}"


def _cloud_base(spec: ModelSpec) -> str:
    return spec["endpoint"] or CLOUD_BASES.get(spec["provider"] or "", "")


def _in_cloud(spec: ModelSpec) -> BoundEndpoint:
    provider, base = spec["provider"] or COMPATIBLE, _cloud_base(spec)
    model = next(iter(wanted_ids(spec, provider)), spec["alias"])
    return BoundEndpoint(
        id=_endpoint_id(spec, provider, base, model),
        provider=provider,
        api_base=base,
        model=model,
        zone="cloud",
        slots=spec["max_concurrent"],
        context=spec["context_length"],
        api_key=spec["api_key"],
    )
