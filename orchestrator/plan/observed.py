"""What was seen at one moment: the deployments that serve, the model servers that answer. A snapshot of plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from orchestrator.ports.device import Device
from orchestrator.ports.installed import is_plugin
from orchestrator.ports.provider import Identity, ServedModel, Zone

NOBODY: Final = "nobody listens there"
"""Why there is no server at an address that was looked at, where it is free."""
Facets = Mapping[str, str]
"""A part seen from several sides: what it is made of (``instructions``, ``tools``, …) and the digest of each."""


@dataclass(frozen=True, slots=True)
class ObservedServer:
    """A model server that answers, how far away it is, and what it says that it can do and serve. ``probed``, by model id:
    ``capabilities`` that were shown, ``context`` and ``slots`` that were measured. ``store`` is the folder of its models, where it
    tells."""

    provider: str
    url: str
    api_base: str
    models: tuple[ServedModel, ...]
    version: str = ""
    zone: Zone = "node"
    capabilities: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    probed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    store: str = ""

    @classmethod
    def of(
        cls,
        identity: Identity,
        models: tuple[ServedModel, ...],
        zone: Zone,
        probed: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> ObservedServer:
        """From what discovery tells, and what was probed before."""
        capabilities = {name.value: support.value for name, support in identity.capabilities.items()}
        url, version = identity.url, identity.version
        about = (identity.provider, url, identity.api_base, models, version, zone, capabilities)
        return cls(*about, identity.notes, probed or {}, identity.store)

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {
            "provider": self.provider,
            "url": self.url,
            "api_base": self.api_base,
            "version": self.version,
            "zone": self.zone,
            "capabilities": dict(self.capabilities),
            "notes": list(self.notes),
            "probed": {model: dict(found) for model, found in self.probed.items()},
            "models": [dataclasses.asdict(model) for model in self.models],
            **({"store": self.store} if self.store else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ObservedServer:
        """From the plain form."""
        models = tuple(ServedModel(**model) for model in value["models"])
        return cls(**{**value, "models": models, "notes": tuple(value.get("notes", ()))})


@dataclass(frozen=True, slots=True)
class Pin:
    """A pinned model: which is ``served`` (the same for all that call it), its ``name`` for people, the bytes that it takes."""

    served: str
    name: str
    memory: int


@dataclass(frozen=True, slots=True)
class ObservedDeployment:
    """A deployment that serves: its ``revision``, its ``parts`` (address -> facets), what is still in work, what it has
    ``pinned`` in the memory of this device, and the addresses of the agents that something answers for (``answered``)."""

    name: str
    revision: int
    digest: str
    parts: Mapping[str, Facets] = field(default_factory=dict)
    in_flight: int = 0
    draining: tuple[int, ...] = ()
    pinned: tuple[Pin, ...] = ()
    answered: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {
            "name": self.name,
            "revision": self.revision,
            "digest": self.digest,
            "parts": {address: dict(facets) for address, facets in self.parts.items()},
            "in_flight": self.in_flight,
            "draining": list(self.draining),
            "pinned": [asdict(pin) for pin in self.pinned],
            "answered": list(self.answered),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ObservedDeployment:
        """From the plain form."""
        pinned = tuple(Pin(**pin) for pin in value.get("pinned", ()))
        answered = tuple(value.get("answered", ()))
        return cls(**{**value, "draining": tuple(value["draining"]), "pinned": pinned, "answered": answered})


ServerUse = Literal["", "live", "draining"]


@dataclass(frozen=True, slots=True)
class StartedServer:
    """A process of a model server that we started: its ``name`` (deployment/alias, see ``generations``), the ``digest`` of what
    was asked for, its ``state`` (``waiting``, ``starting``, ``ready``, ``empty``, ``stopping``, ``resting``, ``failed``) and
    ``why``, its root ``url``, and the name under which it ``serves`` the model. ``pid`` is 0 and ``url`` empty while it has no
    process, ``log`` while it never had one. ``memory`` is what it is reckoned to take, in bytes, 0 where nobody knows, on so many
    ``cards`` (see ``pools``), with so many ``slots`` of so many tokens of ``context``, 0 where nobody knows.
    ``use``: the revision that gets new requests is bound to it (``live``), or only one that finishes what it has begun
    (``draining``), or neither. ``rests``: it was ended because nobody needed it, and the next request starts it, or has it
    started already: it keeps its address and its place in memory. ``returns``: it served and exited, and is started again at its
    address: calls for which there is nobody else wait for it. ``turns``: it takes turns with others in memory.
    ``finishes``: it is ``stopping``, and still works on what it has."""

    name: str
    kind: str
    digest: str
    state: str
    why: str = ""
    url: str = ""
    serves: str = ""
    pid: int = 0
    log: str = ""
    memory: int = 0
    use: ServerUse = ""
    cards: int | None = None
    rests: bool = False
    turns: bool = False
    slots: int = 0
    context: int = 0
    returns: bool = False
    finishes: bool = False

    @property
    def answers(self) -> bool:
        """Whether requests can go to it: one that rests is started for them."""
        return self.state == "ready" or self.rests


@dataclass(frozen=True, slots=True)
class Prospect:
    """What starting a server would be: the ``command`` (with port 0 where any will do), ``notes`` on its options; or
    ``why`` it cannot be, with its ``code`` where it has one, and a
    ``cure``. ``refused`` where what the manifest asks for cannot be had at all; ``unfit`` where
    the memory that may be taken is too small for it. ``memory`` is what it takes, in bytes (0: unknown), on so many ``cards``,
    with so many ``slots`` of so many tokens of ``context`` (0: unknown), ``need`` that with its arithmetic, ``build`` which of
    several builds was chosen; ``tight`` warns where it is more than should be taken. ``apart`` says why it cannot be started while
    the one that serves now still runs. ``instances``: processes that shall run, by the demand and the memory; ``alone`` says why
    not more where the demand asks for them. ``model`` is the file that it is started with, or what it fetches; ``choice`` why that
    one of several, and why not the others. ``taken`` says who has the ``port`` that the manifest writes for it. ``turns`` says with
    whom it takes turns in memory. ``first`` are processes which are gone before it is started, as ``crowded`` says.
    ``broken``: what is the matter with its file."""

    name: str
    kind: str
    program: str = ""
    digest: str = ""
    command: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    why: str = ""
    cure: str = ""
    refused: bool = False
    unfit: bool = False
    memory: int = 0
    need: str = ""
    build: str = ""
    tight: str = ""
    apart: str = ""
    instances: int = 1
    alone: str = ""
    model: str = ""
    choice: str = ""
    cards: int | None = None
    port: int = 0
    taken: str = ""
    turns: str = ""
    slots: int = 0
    context: int = 0
    code: str = ""
    first: tuple[str, ...] = ()
    crowded: str = ""
    broken: str = ""


def server_name(deployment: str, alias: str) -> str:
    """The name of the server that a deployment starts for a model."""
    return f"{deployment}/{alias}"


@dataclass(frozen=True, slots=True)
class ObservedState:
    """The snapshot. ``runtime`` is the version of the runtime that was asked, empty where none runs; ``silent`` says
    why a named address did not answer (see :func:`asked_at`) and why a provider of another package cannot be used (by its
    name); ``taken_ports`` says why a port that a deployment wants for its own door cannot be had;
    ``contents`` are fingerprints of the files that parts are made of beside the manifest, by address (a tool's code);
    ``locked`` are references of secrets that cannot be had, each with why and a cure; ``device`` is what this machine has,
    ``None`` where nothing told; ``started`` are the servers that we started, of every deployment, and ``prospects`` those that
    the planned blueprint wants, both by name. ``retries`` where somebody asks who may have mended a server that was given up;
    ``pulls`` where who asks has models pulled that are missing, before the rest is carried out (not told between processes).
    """

    runtime: str = ""
    deployments: Mapping[str, ObservedDeployment] = field(default_factory=dict)
    servers: tuple[ObservedServer, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)
    taken_ports: Mapping[int, str] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)
    locked: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    started: Mapping[str, StartedServer] = field(default_factory=dict)
    prospects: Mapping[str, Prospect] = field(default_factory=dict)
    retries: bool = False
    pulls: bool = False
    device: Device | None = None

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {
            "runtime": self.runtime,
            "deployments": [deployment.as_json() for deployment in self.deployments.values()],
            "servers": [server.as_json() for server in self.servers],
            "silent": dict(self.silent),
            "taken_ports": {str(port): why for port, why in self.taken_ports.items()},
            "contents": dict(self.contents),
            "locked": {reference: list(why) for reference, why in self.locked.items()},
            "started": [asdict(each) for each in self.started.values()],
            "prospects": [asdict(each) for each in self.prospects.values()],
            "retries": self.retries,
            "device": self.device.as_json() if self.device else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ObservedState:
        """From the plain form."""
        deployments = [ObservedDeployment.from_json(deployment) for deployment in value["deployments"]]
        return cls(
            runtime=value["runtime"],
            deployments={deployment.name: deployment for deployment in deployments},
            servers=tuple(ObservedServer.from_json(server) for server in value["servers"]),
            silent=value["silent"],
            taken_ports={int(port): why for port, why in value["taken_ports"].items()},
            contents=value.get("contents", {}),
            locked={reference: (why[0], why[1]) for reference, why in value.get("locked", {}).items()},
            started={each["name"]: StartedServer(**each) for each in value.get("started", ())},
            prospects={each["name"]: _prospect(each) for each in value.get("prospects", ())},
            retries=value.get("retries", False),
            device=Device.from_json(value["device"]) if value.get("device") else None,
        )


def changed_between(before: ObservedState, now: ObservedState) -> str:
    """What happened between two looks, in words."""
    names = {*before.deployments, *now.deployments}
    changed = {name for name in names if _of(before, name) != _of(now, name)}
    changed |= {name.partition("/")[0] for name in before.started.keys() ^ now.started.keys()}
    if changed:
        return f"another apply changed {', '.join(sorted(changed))} meanwhile"
    if before.servers != now.servers or before.started != now.started:
        return "a model server changed meanwhile"
    return "what is there changed meanwhile"


def _of(state: ObservedState, name: str) -> tuple[int, str]:
    found = state.deployments.get(name)
    return (found.revision, found.digest) if found else (0, "")


def asked_at(provider: str | None, url: str) -> str:
    """The key of ``ObservedState.silent`` for an address: a provider of another package looks for itself, beside the makes of
    the table."""
    return f"{provider} at {url}" if is_plugin(provider) else url


def _prospect(value: Mapping[str, Any]) -> Prospect:
    listed = {side: tuple(value[side]) for side in ("command", "notes", "first") if side in value}
    return Prospect(**{**value, **listed})
