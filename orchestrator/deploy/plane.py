"""What the control plane asks of the data plane, and of those who make live parts. The composition root fits them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestrator.core.blueprint import ServeSpec
from orchestrator.deploy.deployment import Deployment
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.make import no_encoder
from orchestrator.deploy.reflex import FitIntents
from orchestrator.deploy.residence import PoolLimits
from orchestrator.deploy.yard import Yard
from orchestrator.plan.pressure import Pressure
from orchestrator.ports.device import Device
from orchestrator.ports.encoder import OpenEncoder
from orchestrator.ports.provider import Identity, Provider, Secret, ServedModel
from orchestrator.ports.strategy import FitStrategy
from orchestrator.ports.tool import OpenTool


class Serving(Protocol):
    """One revision that serves, or finishes what it has begun."""

    @property
    def in_flight(self) -> int:
        """Requests that have begun and not ended."""
        ...

    async def drained(self) -> None:
        """Wait until none is in flight; for one that gets no new requests."""
        ...

    def cancel(self, why: str) -> None:
        """End all of them now; their callers are told ``why``."""
        ...


class Door(Protocol):
    """A port that is listened on."""

    async def aclose(self) -> None:
        """Stop listening; connections that are open finish."""
        ...


class RequestPlane(Protocol):
    """Where requests flow."""

    def set_endpoints(self, endpoints: Mapping[str, EndpointSpec], pools: Mapping[str, PoolLimits]) -> None:
        """Know exactly these endpoints, by id, and these limits of the memories that their models share."""
        ...

    def set_loaded(self, loaded: Mapping[str, bool], since: float) -> None:
        """Which models are loaded (by the id of the model on its server), as it was seen at ``since`` or later."""
        ...

    def try_now(self, endpoints: Iterable[str]) -> None:
        """Ask these endpoints again even where they rest from a fault: somebody may have mended them."""
        ...

    def set_pressure(self, pressure: Pressure) -> None:
        """Know what speaks for smaller models from now on."""
        ...

    def views(self) -> Mapping[str, Mapping[str, Any]]:
        """Every endpoint as it is now, by id: its ``state``, ``last_error``, ``failures``, ``again_in`` and load."""
        ...

    def activate(self, deployment: Deployment) -> Serving:
        """Send requests that come from now on to it, in one assignment."""
        ...

    def remove(self, name: str) -> None:
        """Refuse requests for this deployment from now on."""
        ...

    async def open_door(self, name: str, serve: ServeSpec) -> Door:
        """Listen on a deployment's own port. Raises ``PortTaken``."""
        ...

    def taken(self, serve: ServeSpec) -> str:
        """Who has this port; an empty text where it is free."""
        ...


class Seen(Protocol):
    """What one address showed: ``served``, ``foreign`` or ``absent``; ``stranger`` where another program is there now."""

    @property
    def url(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def identity(self) -> Identity | None: ...
    @property
    def models(self) -> tuple[ServedModel, ...]: ...
    @property
    def trouble(self) -> str: ...
    @property
    def stranger(self) -> bool: ...


LookAround = Callable[[Sequence[str], Mapping[str, Secret], Sequence[str]], Awaitable[Sequence[Seen]]]
"""Looks at every address once, at most for a few seconds. The secrets are keys by address; the names are the providers that are
asked, the makes of the table where there are none."""


def no_sensors() -> Device | None:
    """Nothing is known of the device."""
    return None


@dataclass(frozen=True, slots=True)
class Workshop:
    """Who makes live parts. ``provider``, ``strategy`` and ``open_tool`` find one by its name in the table of kinds; ``reveal``
    resolves a secret reference (relative to a folder) now; ``tools`` is the folder of the tools' own stores; ``sense`` reads
    what the device has, within milliseconds; ``yard`` is what model servers are started with, where they may be;
    ``encoder`` opens what a router's texts become vectors with."""

    provider: Callable[[str], Provider]
    assumed_slots: Mapping[str, int]
    strategy: Callable[[str], FitStrategy]
    fit_intents: FitIntents
    open_tool: Callable[[str], OpenTool]
    reveal: Callable[[str, Path], Secret]
    tools: Path
    look: LookAround
    usual_places: tuple[str, ...] = ()
    sense: Callable[[], Device | None] = no_sensors
    probed: Callable[[Identity, Sequence[ServedModel]], Mapping[str, Mapping[str, Any]]] = lambda *_: {}
    yard: Yard | None = None
    encoder: OpenEncoder = no_encoder
