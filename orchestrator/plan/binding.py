"""Which of the servers that answer serve a model alias, best first; or why none does. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import urlsplit

from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.core.digest import digest_of
from orchestrator.plan.observed import ObservedServer, ObservedState, StartedServer, asked_at, server_name
from orchestrator.ports.installed import is_plugin
from orchestrator.ports.provider import Capability, ServedModel, Zone

ANY_PROVIDER: Final = "*"
COMPATIBLE: Final = "openai-compatible"
"""The make of a server that speaks the protocol and does not say what it is: it may be any of them."""
GATEWAYS: Final = frozenset((COMPATIBLE, "llama-swap", "localai", "litellm", "docker-model-runner"))
"""Makes behind which any other may stand, so that a model may have any of its ids there."""
CLOUD_BASES: Final[Mapping[str, str]] = {"openai": "https://api.openai.com/v1"}
"""Where a cloud provider is when the manifest gives no address. It is never asked to find out what it serves."""
MEND: Final = "mend or install its package, and restart the runtime: `orchestrator runtime stop`"
_DISTANCE: Final[Mapping[Zone, int]] = {"node": 0, "lan": 1, "cloud": 2}
_BUILD: Final = re.compile(r"[-._](?:i?q[0-9][a-z0-9_]*|[bf]p?(?:16|32)|fp8|(?:int[48](?:-ov)?)|[2-8]bit)$")
"""What a file name adds to a model's name: its quantization."""
_VARIANT: Final = re.compile(r"-[a-z0-9]+-(?:cpu|gpu|npu)(?::\d+)?$")
"""What Foundry Local adds to it: ``-generic-cpu:4``."""


@dataclass(frozen=True, slots=True)
class BoundEndpoint:
    """A live address that serves the model under ``model``. ``slots``, ``context`` and ``memory`` (bytes that the model takes
    while it is loaded) are ``None`` where nobody told; ``keep_alive`` is how long the manifest lets it rest, in seconds.

    ``id`` is the same for every alias and deployment that calls the same model on the same server with the same key.
    """

    id: str
    provider: str
    api_base: str
    model: str
    zone: Zone = "node"
    slots: int | None = None
    context: int | None = None
    api_key: str | None = None
    capabilities: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None
    keep_alive: float | None = None

    def __str__(self) -> str:
        return f"{self.provider} at {urlsplit(self.api_base).netloc}"

    @property
    def served(self) -> str:
        """The model on its server, whatever the key: what is loaded once."""
        return served_model(self.provider, self.api_base, self.model)


@dataclass(frozen=True, slots=True)
class Bound:
    """What serves an alias. Without ``endpoints``, ``missing`` says why and ``cure`` what to type; ``locked`` where it is
    only its key that is missing; ``starting`` names the program where this plan starts a server for it."""

    alias: str
    endpoints: tuple[BoundEndpoint, ...] = ()
    missing: str = ""
    cure: str = ""
    locked: bool = False
    starting: str = ""


def served_model(provider: str, api_base: str, model: str) -> str:
    """The id of a model on a server."""
    return f"{provider}@{urlsplit(api_base).netloc}/{model}"


def bind_all(blueprint: Blueprint, observed: ObservedState) -> dict[str, Bound]:
    """Every model alias of the blueprint."""
    specs = [cast(ModelSpec, element.spec) for element in blueprint.of_kind("model")]
    return {spec["alias"]: _bound(spec, blueprint.name, observed) for spec in specs}


def _bound(spec: ModelSpec, deployment: str, observed: ObservedState) -> Bound:
    return bind_started(spec, deployment, observed) if spec["server"] else bind(spec, observed)


def bind_started(spec: ModelSpec, deployment: str, observed: ObservedState) -> Bound:
    """The endpoint of a server that we start for this alias of this deployment, and no other."""
    alias, name = spec["alias"], server_name(deployment, spec["alias"])
    prospect, started = observed.prospects.get(name), observed.started.get(name)
    if prospect is not None and prospect.why:
        return Bound(alias, (), prospect.why, prospect.cure)
    program = prospect.program if prospect else ""
    again = started is not None and started.state == "failed" and observed.retries
    if prospect is not None and (started is None or started.digest != prospect.digest or again):
        return Bound(alias, (), f"{program} is not started yet", "`orchestrator apply` starts it", starting=program)
    if started is None:
        return Bound(alias, (), "its server is not started")
    there = [server for server in observed.servers if _same_place(server.url, started.url)]
    if started.state != "ready" or not there:
        return Bound(alias, (), *_not_ready(started, program or started.kind))
    served = [model for model in there[0].models if model.id in (started.serves, alias)]
    return Bound(alias, (_endpoint(spec, there[0], served[0] if served else ServedModel(started.serves)),))


def _not_ready(started: StartedServer, program: str) -> tuple[str, str]:
    """In the same words however it comes to be ready: each other word would be another revision."""
    if started.state == "failed":
        return f"{program}: {started.why}", f"see {started.log}, then `orchestrator apply`"
    return f"{program} is not ready", "`orchestrator status` says how far it is"


def bind(spec: ModelSpec, observed: ObservedState) -> Bound:
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
    found = [
        _endpoint(spec, server, model)
        for server in sorted(_allowed(spec, observed.servers), key=lambda server: _rank(spec, server))
        for model in _matching(spec, server)
    ]
    if found:
        return Bound(spec["alias"], tuple(found))
    return Bound(spec["alias"], (), _missing(spec, observed), _cure(spec, observed))


def same_model(provider: str, wanted: str, served: str) -> bool:
    """Whether a server's id means the wanted one: case, Ollama's ``:latest``, the build of a variant of Foundry Local, and
    folders, endings and quantizations of GGUF files do not matter."""
    one, other = wanted.casefold(), served.casefold()
    if one == other:
        return True
    if provider == "ollama":
        return _tagged(one) == _tagged(other)
    if provider == "foundry-local" and _without_variant(one) == _without_variant(other):
        return True
    return _file_stem(one) == _file_stem(other)


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _without_variant(name: str) -> str:
    return _VARIANT.sub("", name).removesuffix("-instruct")


def _file_stem(name: str) -> str:
    stem = name.replace("\\", "/").rpartition("/")[2].partition(":")[0]
    stem = stem.removesuffix(".gguf")
    return _BUILD.sub("", stem).removesuffix("-gguf")


def _wanted_ids(spec: ModelSpec, provider: str) -> list[str]:
    ids = spec["ids"]
    # A make for which no id is known has its models under the names that they have elsewhere, or behind a gateway.
    named = ids[provider] if provider in ids else [name for names in ids.values() for name in names]
    # With one id the manifest chose it; the alias itself is no other spelling of it.
    return [*named, *ids.get(ANY_PROVIDER, []), *([spec["alias"]] if len(ids) > 1 else [])]


def _matching(spec: ModelSpec, server: ObservedServer) -> Iterable[ServedModel]:
    """At most one model of the server: the best id that it serves."""
    usable = [
        model
        for model in server.models
        if model.kind in (spec["kind"], "unknown") and (spec["zone"] == "cloud" or not model.remote)
    ]
    for wanted in _wanted_ids(spec, server.provider):
        matches = [model for model in usable if same_model(server.provider, wanted, model.id)]
        if matches:
            return sorted(matches, key=lambda model: (model.id.casefold() != wanted.casefold(), model.id))[:1]
    return ()


def _allowed(spec: ModelSpec, servers: Iterable[ObservedServer]) -> list[ObservedServer]:
    if spec["endpoint"]:
        return [server for server in servers if _fits(spec, server) and _same_place(server.url, spec["endpoint"])]
    return [server for server in servers if server.zone == "node" and _fits(spec, server)]


def _fits(spec: ModelSpec, server: ObservedServer) -> bool:
    if is_plugin(spec["provider"]) or is_plugin(server.provider):  # another package's servers are for who names it
        return spec["provider"] == server.provider
    return spec["provider"] in (None, server.provider, COMPATIBLE) or server.provider in GATEWAYS


def _same_place(one: str, other: str) -> bool:
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str, int | None]:
    parts = urlsplit(url)
    host = (parts.hostname or "").replace("localhost", "127.0.0.1")
    return host, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _rank(spec: ModelSpec, server: ObservedServer) -> tuple[Any, ...]:
    providers = list(spec["ids"])
    order = providers.index(server.provider) if server.provider in providers else len(providers)
    return (_DISTANCE[server.zone], server.provider in GATEWAYS, order, server.url)


def _endpoint(spec: ModelSpec, server: ObservedServer, model: ServedModel) -> BoundEndpoint:
    zone: Zone = "cloud" if model.remote else server.zone
    probed = server.probed.get(model.id, {})
    return BoundEndpoint(
        id=_endpoint_id(spec, server.provider, server.api_base, model.id),
        provider=server.provider,
        api_base=server.api_base,
        model=model.id,
        zone=max(zone, spec["zone"], key=lambda each: _DISTANCE[each]),
        slots=spec["max_concurrent"] or model.slots or probed.get("slots"),
        context=_window(spec, server, model),
        api_key=spec["api_key"],
        capabilities={**server.capabilities, **probed.get("capabilities", {})},
        memory=spec["memory"],
        keep_alive=spec["keep_alive"],
    )


def _window(spec: ModelSpec, server: ObservedServer, model: ServedModel) -> int | None:
    """Tokens of a request that are really served: told, else measured. What the model could take is no answer where the
    server would tell what it gives it, and has not yet."""
    served = model.context or server.probed.get(model.id, {}).get("context")
    if served is None and server.capabilities.get(Capability.CONTEXT_TOLD) == "yes":
        return None
    return served or spec["context_length"]


def _endpoint_id(spec: ModelSpec, provider: str, api_base: str, model: str) -> str:
    key = f"#{digest_of(spec['api_key'])[:6]}" if spec["api_key"] else ""
    return f"{served_model(provider, api_base, model)}{key}"


def _cloud_base(spec: ModelSpec) -> str:
    return spec["endpoint"] or CLOUD_BASES.get(spec["provider"] or "", "")


def _in_cloud(spec: ModelSpec) -> BoundEndpoint:
    provider, base = spec["provider"] or COMPATIBLE, _cloud_base(spec)
    model = next(iter(_wanted_ids(spec, provider)), spec["alias"])
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


def _missing(spec: ModelSpec, observed: ObservedState) -> str:
    alias, endpoint = spec["alias"], spec["endpoint"]
    if spec["zone"] == "cloud" and not endpoint:
        return f"{alias} is in the cloud, and the manifest gives no endpoint for it"
    if endpoint:
        return _missing_at(spec, endpoint, observed)
    here = _allowed(spec, observed.servers)
    if not here:
        if is_plugin(spec["provider"]):
            return f"{spec['provider']} is asked only at the addresses that its models name, and {alias} names none"
        return f"no {spec['provider'] or 'model'} server answers on this device"
    forwarded = _forwarded(spec, observed)
    if forwarded:
        return f"{_called(forwarded[0])} only forwards {alias} to another machine, which this manifest does not allow"
    return f"{_listed([_called(server) for server in here])}: {alias} is not among the models"


def _forwarded(spec: ModelSpec, observed: ObservedState) -> list[ObservedServer]:
    """Servers here that only pass the model's requests on."""
    here = _allowed(spec, observed.servers)
    return [server for server in here for model in server.models if model.remote and _is(spec, server, model)]


def _missing_at(spec: ModelSpec, endpoint: str, observed: ObservedState) -> str:
    mine = [server for server in observed.servers if is_plugin(spec["provider"]) == is_plugin(server.provider)]
    there = [server for server in mine if _same_place(server.url, endpoint)]
    why = observed.silent.get(asked_at(spec["provider"], endpoint), "")
    if not there or (why and not there[0].models):
        return f"{endpoint}: {why or 'no model server answers there'}"
    if not _allowed(spec, there):
        return f"{endpoint} is {there[0].provider}, not {spec['provider']}"
    served = _listed([model.id for model in there[0].models][:5]) or "no model"
    return f"{endpoint} serves {served}; not {spec['alias']}"


def _is(spec: ModelSpec, server: ObservedServer, model: ServedModel) -> bool:
    return any(same_model(server.provider, wanted, model.id) for wanted in _wanted_ids(spec, server.provider))


def _called(server: ObservedServer) -> str:
    return f"{server.provider} at {urlsplit(server.url).netloc}"


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _pull(spec: ModelSpec, observed: ObservedState) -> str:
    """What to type where a server answers that can pull it: the alias where the catalogue knows it, else its own id."""
    able = [server for server in _allowed(spec, observed.servers) if server.capabilities.get(Capability.PULL) == "yes"]
    for server in sorted(able, key=lambda server: _rank(spec, server)):
        named = next(iter(spec["ids"].get(server.provider, [])), "")
        if named and len(spec["ids"]) > 1:
            return f"orchestrator models pull {spec['alias']}"
        if named:
            return f"orchestrator models pull {named} --provider {server.provider}"
    return ""


def _cure(spec: ModelSpec, observed: ObservedState) -> str:
    if is_plugin(spec["provider"]):
        at = f"start the server at {spec['endpoint']}, name a model that it serves, or mend the package of {spec['provider']}"
        return at if spec["endpoint"] else f"write the endpoint of {spec['alias']}"
    if spec["endpoint"]:
        return f"start the server at {spec['endpoint']}, or name a model that it serves"
    if _forwarded(spec, observed):
        return f"write zone: cloud for {spec['alias']} if what it is asked may leave this device"
    return _pull(spec, observed) or _serve(spec, observed)


def _serve(spec: ModelSpec, observed: ObservedState) -> str:
    """What makes some server here serve it, best what runs already."""
    makes = {server.provider for server in observed.servers if not is_plugin(server.provider)}
    ollama = next(iter(spec["ids"].get("ollama", [])), "")
    if ollama and spec["provider"] in (None, "ollama") and (not makes or "ollama" in makes):
        return f"ollama pull {ollama}"
    for make in sorted(makes):
        named = next(iter(spec["ids"].get(make, [])), "")
        if named and spec["provider"] in (None, make):
            return f"serve {named} with {make}"
    return f"serve {spec['alias']} with a model server on this device (`orchestrator doctor` says which)"
