"""The data plane as the control plane sees it: the loop, the table of engines, and the ports of deployments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.blueprint import ServeSpec
from orchestrator.core.event import Event
from orchestrator.deploy.deployment import Deployment
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.plane import Door
from orchestrator.deploy.residence import PoolLimits
from orchestrator.plan.pressure import Pressure
from orchestrator.ports.elsewhere import Elsewhere
from orchestrator.serve.engine import Engine, EngineTable
from orchestrator.serve.forward import Forwarder
from orchestrator.serve.ledger import Ledger
from orchestrator.serve.loop import Loop
from orchestrator.serve.outcomes import Outcomes
from orchestrator.serve.people import PeopleDesk
from orchestrator.serve.session import Sessions


@dataclass(frozen=True, slots=True)
class ServingPlane:
    """A ``RequestPlane`` over one loop. ``state`` tells the doors of deployments whether requests are taken, ``coming`` whether
    a deployment is applied and not served yet; ``elsewhere`` gives the other nodes of a deployment's fleet."""

    engines: EngineTable
    loop: Loop
    sessions: Sessions
    emit: Callable[[Event], None]
    state: Callable[[], str]
    coming: Callable[[str], bool]
    desk: PeopleDesk | None = None
    forwarder: Forwarder | None = None
    outcomes: Outcomes | None = None
    ledger: Ledger = field(default_factory=Ledger)
    elsewhere: Callable[[str], Elsewhere | None] = lambda _: None

    def set_endpoints(self, endpoints: Mapping[str, EndpointSpec], pools: Mapping[str, PoolLimits]) -> None:
        """Know exactly these endpoints, and these limits of memories."""
        self.loop.set_endpoints(endpoints, pools)

    def set_loaded(self, loaded: Mapping[str, bool], since: float) -> None:
        """Know which models are loaded."""
        self.loop.set_loaded(loaded, since)

    def try_now(self, endpoints: Iterable[str]) -> None:
        """Ask these endpoints again even where they rest from a fault."""
        self.loop.try_now(endpoints)

    def set_pressure(self, pressure: Pressure) -> None:
        """Know what speaks for smaller models, whether the battery is to be spared, and how much memory is free."""
        self.engines.pressure = pressure
        self.loop.set_free(pressure.free)
        self.loop.set_power(saving=bool(pressure.saving))

    def views(self) -> Mapping[str, Mapping[str, Any]]:
        """Every endpoint as it is now."""
        return {view.id: view.as_json() for view in self.loop.snapshot()}

    def activate(self, deployment: Deployment) -> Engine:
        """Send requests that come from now on to a new engine."""
        engine = Engine(deployment, self.loop, self.sessions, self.emit, lambda: self.engines.pressure)
        engine.desk, engine.outbox = self.desk, self.forwarder
        engine.elsewhere = self.elsewhere(deployment.name)
        if self.outcomes is not None:
            self.outcomes.prepare(engine)
        engine.ledger = self.ledger
        self.engines.switch(deployment.name, engine)
        for each in (self.desk, self.forwarder):
            if each is not None:
                each.wake()
        return engine

    def remove(self, name: str) -> None:
        """Refuse requests for this deployment."""
        self.engines.remove(name)

    async def open_door(self, name: str, serve: ServeSpec) -> Door:
        """Listen on the deployment's own port."""
        from orchestrator.gateway.bind import bind_port
        from orchestrator.gateway.front import FrontDoor
        from orchestrator.gateway.listen import Listener

        sock = bind_port(serve.host, serve.port or 0)
        door = FrontDoor(self.engines, only=name, state=self.state, coming=self.coming)
        door.desk = self.desk
        return await Listener.start(door, sock)

    def taken(self, serve: ServeSpec) -> str:
        """Who has this port."""
        from orchestrator.gateway.bind import taken_by

        return taken_by(serve.host, serve.port) if serve.port else ""
