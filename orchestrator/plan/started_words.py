"""What is told of a server that we started and that serves its model not, or not yet, or not as it is wanted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from orchestrator.core.blueprint import ModelSpec
from orchestrator.plan.builds import nearest_build
from orchestrator.plan.choosing import Option
from orchestrator.plan.generations import server_of
from orchestrator.plan.observed import ObservedServer, Prospect, StartedServer
from orchestrator.ports.provider import Capability, ServedModel

EMPTY: Final = "empty"
"""The state of one that answers, and does not have its model yet."""
LISTENS: Final = frozenset(("ready", EMPTY))
"""The states in which one can be asked what it has."""
NOT_READY: Final = "is not ready"
"""How it is told that one starts, or loads its model."""


def removed(started: StartedServer, server: ObservedServer, alias: str) -> bool:
    """Whether its model is gone from its store: one whose models can be removed lists all that it has."""
    listed = {name for model in server.models for name in model.names}
    return server.capabilities.get(Capability.REMOVE) == "yes" and listed.isdisjoint((started.serves, alias))


def without_model(spec: ModelSpec, started: StartedServer, server: ObservedServer) -> tuple[str, str]:
    """That its model is not in its store: not any more, or not yet; and how it comes there."""
    where, again = f"{server.provider} at {urlsplit(server.url).netloc}", started.state != EMPTY
    wanted = f" in {spec['quantization']}" if spec["quantization"] else ""
    named = spec["named"] is not None or len(spec["ids"]) == 1
    asked = started.serves if named else spec["alias"]
    build = f" --quantization {spec['quantization']}" if spec["quantization"] and not named else ""
    return (
        f"{where} has no {started.serves}{wanted} {'any more' if again else 'yet'}",
        f"orchestrator models pull {asked}{build} --endpoint {server.url}",
    )


def model_of(started: StartedServer, server: ObservedServer, alias: str) -> ServedModel:
    """Its model, as its server tells it."""
    served = [model for model in server.models if model.id in (started.serves, alias)]
    return served[0] if served else ServedModel(started.serves)


def not_ready(started: StartedServer, program: str, taken: str) -> tuple[str, str]:
    """In the same words however it comes to be ready: each other word would be another revision."""
    if started.state == "failed":
        see = f"see {started.log}, then " if started.log else ""
        first = f"{taken}: end that, or write another `port` or none; then " if taken else see
        return f"{program}: {started.why}", f"{first}`orchestrator apply` tries it again"
    return f"{program} {NOT_READY}", "`orchestrator status` says how far it is"


def port_taken(prospect: Prospect, started: Mapping[str, StartedServer]) -> str:
    """Who has the port that the manifest writes for it, of ours by its name; empty where it is free, or where one of its own
    deployment has it, or one that is on its way out: that is ended first, or tells it when this one is started."""
    there = [
        each
        for each in started.values()
        if prospect.port and each.url.endswith(f":{prospect.port}") and (each.pid or not (each.rests or each.returns))
    ]
    mine = prospect.name.partition("/")[0]
    for each in there:
        deployment, _, alias = server_of(each.name).partition("/")
        if deployment != mine and each.state != "stopping":
            return f"port {prospect.port} is taken by server.{alias} of {deployment}"
    return "" if there else prospect.taken


def other_build(option: Option, wanted: str) -> tuple[str, str]:
    """That its server tells another build than the manifest names, whatever its file is called; and what to do."""
    build, server = option.build.quantization, option.server
    return (
        f"{option.model.id} is wanted as {wanted}, and {server.provider} at {urlsplit(server.url).netloc} has it as {build}",
        f"start it with a file or a repository of that build, or write quantization: {nearest_build(wanted, [build])}",
    )


def started_why(spec: ModelSpec, option: Option, chosen: str) -> str:
    """Why this build: ``chosen`` of several, or named by the manifest; where nobody tells which it is, that is said."""
    wanted = spec["quantization"]
    if wanted and not option.told and not chosen:
        return f"neither its name nor its server tells its build; the manifest says {wanted}"
    if not chosen:
        return ""
    return f"{chosen}, as the manifest says" if wanted else f"{chosen} is the best build that fits"
