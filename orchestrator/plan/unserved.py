"""Why no server serves a model, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from orchestrator.core.blueprint import ModelSpec
from orchestrator.core.extras import install_line
from orchestrator.core.in_line import in_line
from orchestrator.core.names import is_cloud_tag, nearest
from orchestrator.plan.builds import means, nearest_build
from orchestrator.plan.choosing import Option
from orchestrator.plan.lines import LINES, NAMES, START, is_pulled, line_of, name_for, nameless
from orchestrator.plan.matching import ANY_PROVIDER, COMPATIBLE, allowed, rank, same_place, wanted_ids
from orchestrator.plan.observed import NOBODY, ObservedServer, ObservedState, asked_at
from orchestrator.ports.installed import is_plugin
from orchestrator.ports.provider import WRONG_KEY, Capability, ServedModel


def why_unserved(spec: ModelSpec, observed: ObservedState) -> str:
    """The reason, with who answers instead; in one line, whatever servers call their models."""
    return in_line(_why_unserved(spec, observed))


def _why_unserved(spec: ModelSpec, observed: ObservedState) -> str:
    alias, endpoint = spec["alias"], spec["endpoint"]
    if spec["zone"] == "cloud" and not endpoint:
        return f"{alias} is in the cloud, and the manifest gives no endpoint for it"
    if endpoint and not (_there(spec, observed) and _forwarded(spec, observed)):
        return _missing_at(spec, endpoint, observed)
    here = allowed(spec, observed.servers)
    if not here:
        if is_plugin(spec["provider"]):
            return f"{spec['provider']} is asked only at the addresses that its models name, and {alias} names none"
        return f"no {spec['provider'] or 'model'} server answers on this device"
    forbidden = _away(spec, observed)
    if forbidden:
        return f"{forbidden}, which this manifest does not allow"
    others = [model.id for server in here for model in server.models if _is(spec, server, model)]
    there = f", {_listed(nearest(_name(spec), others, 5, alike=0.0))} are" if others else ""
    return f"{_listed([_called(server) for server in here])}: {_name(spec)} is not among the models{there}"


def other_builds(spec: ModelSpec, options: Sequence[Option]) -> tuple[str, str]:
    """Why none of these builds is used, where the manifest names another one; and what to do."""
    alias, wanted = spec["alias"], spec["quantization"]
    by_server: dict[str, list[str]] = {}
    for option in options:
        by_server.setdefault(_called(option.server), []).append(option.build.quantization)
    there = "; ".join(f"{server} has it as {_listed(sorted(set(builds)))}" for server, builds in by_server.items())
    able = [option.server for option in options if option.server.capabilities.get(Capability.PULL) == "yes"]
    known = able and len(spec["ids"]) > 1
    pull = f"orchestrator models pull {alias} --quantization {wanted}{_at(spec, able[0])}" if known else ""
    first = pull or f"have its server serve the {wanted} build"
    return (
        f"{alias} is wanted as {wanted}, and {there}",
        f"{first}; or write quantization: {nearest_build(wanted or '', [each.build.quantization for each in options])}",
    )


def _at(spec: ModelSpec, server: ObservedServer) -> str:
    """Names the server, where the manifest does, or has it started."""
    return f" --endpoint {server.url}" if spec["endpoint"] or spec["server"] else ""


def _forwarded(spec: ModelSpec, observed: ObservedState) -> list[ObservedServer]:
    """Servers here that only pass the model's requests on."""
    here = allowed(spec, observed.servers)
    return [server for server in here for model in server.models if model.remote and _is(spec, server, model)]


def _away(spec: ModelSpec, observed: ObservedState) -> str:
    """That only another machine would answer for it; empty where that is not so."""
    forwarded = _forwarded(spec, observed)
    if forwarded:
        return f"{_called(forwarded[0])} only forwards {spec['alias']} to another machine"
    return f"{_of_cloud(spec)} is a model of Ollama's cloud" if _of_cloud(spec) else ""


def _of_cloud(spec: ModelSpec) -> str:
    """Its name at Ollama, where that names a model of its cloud."""
    name = name_for("ollama", spec["ids"]) if spec["provider"] in (None, "ollama", COMPATIBLE) else ""
    return name if is_cloud_tag(name) else ""


def _there(spec: ModelSpec, observed: ObservedState) -> list[ObservedServer]:
    """What answers at its endpoint."""
    mine = [server for server in observed.servers if is_plugin(spec["provider"]) == is_plugin(server.provider)]
    return [server for server in mine if same_place(server.url, spec["endpoint"] or "")]


def foreign_at(spec: ModelSpec, observed: ObservedState) -> str:
    """What answers at its endpoint and is no model server that is known; empty where nobody does, or one is there."""
    endpoint = spec["endpoint"] or ""
    if not endpoint or spec["zone"] == "cloud" or _there(spec, observed):
        return ""
    why = observed.silent.get(asked_at(spec["provider"], endpoint), "")
    return "" if why in ("", NOBODY) else why


def _missing_at(spec: ModelSpec, endpoint: str, observed: ObservedState) -> str:
    there = _there(spec, observed)
    why = observed.silent.get(asked_at(spec["provider"], endpoint), "")
    if not there or (why and not there[0].models):
        return f"{endpoint}: {why or 'no model server answers there'}"
    if not allowed(spec, there):
        return f"{endpoint} is {there[0].provider}, not {spec['provider']}"
    served = _listed(nearest(_name(spec), [model.id for model in there[0].models], 5, alike=0.0)) or "no model"
    return f"{endpoint} serves {served}; not {_name(spec)}"


def _name(spec: ModelSpec) -> str:
    """What the manifest calls it: a name of one build is told, as no other build is it."""
    return spec["named"] or spec["alias"]


def _is(spec: ModelSpec, server: ObservedServer, model: ServedModel) -> bool:
    return any(means(server.provider, wanted, model) for wanted in wanted_ids(spec, server.provider))


def _called(server: ObservedServer) -> str:
    return f"{server.provider} at {urlsplit(server.url).netloc}"


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _pull(spec: ModelSpec, observed: ObservedState) -> str:
    """What to type where a server answers that can pull it: the alias where the catalogue knows it, else its own id."""
    able = [server for server in allowed(spec, observed.servers) if server.capabilities.get(Capability.PULL) == "yes"]
    for server in sorted(able, key=lambda server: rank(spec, server)):
        named = next(iter(spec["ids"].get(server.provider, [])), "")
        if len(spec["ids"]) > 1 and name_for(server.provider, spec["ids"]):
            return f"orchestrator models pull {spec['alias']}{_only(spec, server, observed)}"
        if is_pulled(server.provider, named):
            at = f"--endpoint {server.url}" if spec["endpoint"] else f"--provider {server.provider}"
            return f"orchestrator models pull {named} {at}"
    return ""


def _only(spec: ModelSpec, server: ObservedServer, observed: ObservedState) -> str:
    """Names the make that the manifest names, where a server of another one could be asked instead."""
    others = [other for other in observed.servers if other.capabilities.get(Capability.PULL) == "yes"]
    other = spec["provider"] == server.provider and any(each.provider != server.provider for each in others)
    if spec["endpoint"]:
        return f" --endpoint {server.url}"
    return f" --provider {server.provider}" if other else ""


def cure_of(spec: ModelSpec, observed: ObservedState) -> str:
    """The line to type, or what to write."""
    if is_plugin(spec["provider"]):
        at = f"start the server at {spec['endpoint']}, name a model that it serves, or mend the package of {spec['provider']}"
        return at if spec["endpoint"] else f"write the endpoint of {spec['alias']}"
    if spec["endpoint"] and not _there(spec, observed):
        return _start_at(spec, spec["endpoint"], observed)
    if _forwarded(spec, observed) or _of_cloud(spec):
        return f"write zone: cloud for {spec['alias']} if what it is asked may leave this device"
    if spec["endpoint"]:
        return _pull(spec, observed) or _other_at(spec, observed)
    return _pull(spec, observed) or _serve(spec, observed)


def _start_at(spec: ModelSpec, endpoint: str, observed: ObservedState) -> str:
    """Where no model server is at its endpoint."""
    foreign = foreign_at(spec, observed)
    if WRONG_KEY in foreign:
        key = spec["api_key"]
        return (
            f"mend the key that api_key of {spec['alias']} names, {key}"
            if key
            else f"write a reference to its key as api_key of {spec['alias']}: api_key: env:NAME, or file:PATH"
        )
    if foreign:
        return f"write the address of a model server as endpoint of {spec['alias']}, or start one there in its place"
    start = START.get(spec["provider"] or "", "")
    how = f" ({start})" if start else ""
    return f"start the server at {endpoint}{how}, or name a model that it serves"


def _other_at(spec: ModelSpec, observed: ObservedState) -> str:
    """Where a server is at its endpoint that lacks the model, and pulls none."""
    there = _there(spec, observed)[0]
    if not allowed(spec, [there]):
        return f"write provider: {there.provider}, or name the address of a {spec['provider']} server"
    if there.provider == "foundry-local":
        name = name_for("foundry-local", spec["ids"]) or spec["alias"]
        load = f"foundry model download {name}, then orchestrator models load {name} --endpoint {there.url}"
        return f"{load}; or {install_line('foundry')}, by which it is pulled"
    return f"have {_called(there)} serve it, or write the name of one that it serves as `model:` of {spec['alias']}"


def _serve(spec: ModelSpec, observed: ObservedState) -> str:
    """What makes some server here serve it. For a make of which no id is known, also what does without that make."""
    alias, provider, ids = spec["alias"], spec["provider"], spec["ids"]
    if provider in (None, COMPATIBLE):
        return _typed(spec, observed) or _load(alias, next(iter(ids.get(ANY_PROVIDER, [])), ""))
    name = name_for(provider, ids)
    if name:
        served = f"serve {name} with {NAMES.get(provider, provider)}"
        line = line_of(provider, name, alias, observed) if provider in LINES else served
        away = provider == "ollama" and all(server.provider != provider for server in observed.servers)
        return (
            f"{line} (Ollama is started by: {START[provider]}; it is at https://ollama.com/download)" if away else line
        )
    other = _typed({**spec, "provider": None}, observed)
    return nameless(provider, alias) + (f"; or without `provider: {provider}`: {other}" if other else "")


def _typed(spec: ModelSpec, observed: ObservedState) -> str:
    """The line to type, best for a make that runs already, else for the first in the table; empty where no id is known."""
    running = {server.provider for server in allowed(spec, observed.servers)}
    for make in sorted(LINES, key=lambda make: make not in running):
        name = name_for(make, spec["ids"])
        if name:
            return line_of(make, name, spec["alias"], observed)
    return ""


def _load(alias: str, name: str) -> str:
    """For a model of any server, of which no make's own name is known."""
    if name != alias:
        return f"load {name or alias} into a model server on this device"
    return f"load {alias} into a model server on this device, and write the name that it lists as `model:` of {alias}"
