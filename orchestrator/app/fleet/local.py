"""All nodes of a manifest on this one machine: each with a home, a runtime and a leaf of its own, joined as real ones are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.app.client import RuntimeClient
from orchestrator.app.fleet.identity import LOCALHOST, FirstNode, FleetFolder, begin_fleet
from orchestrator.app.fleet.inviting import invitation
from orchestrator.app.fleet.joining import join_fleet
from orchestrator.app.start import ensure_runtime, stop_runtime
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError, OrchestratorError
from orchestrator.deploy.free_port import free_port
from orchestrator.plugins.hosts.local import LocalHost, make_private
from orchestrator.ports.host import FLEETS

JOIN_SECONDS: Final = 30.0
"""How long the hub's enrolment may take until it answers."""
LINK_SECONDS: Final = 30.0
_VALID: Final = 600.0
_GLANCE: Final = 0.2
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LocalFleet:
    """The nodes of one deployment. ``root`` has a home for each."""

    root: Path

    @classmethod
    def of(cls, state: Path, name: str) -> LocalFleet:
        """That of a deployment, whether it is there or not."""
        return cls(state / FLEETS / name)

    @property
    def nodes(self) -> list[str]:
        """Its nodes; the hub first."""
        found = [home.name for home in self.root.glob("*") if (home / "state" / "fleet").is_dir()]
        return sorted(found, key=lambda node: (not self._is_hub(node), node))

    def host(self, node: str) -> LocalHost:
        """The machine as that node's runtime sees it."""
        return LocalHost(self.root / node)

    def client(self, node: str) -> RuntimeClient:
        """A client of that node's runtime, whether it runs or not."""
        return RuntimeClient(self.host(node).folders(make=False))

    def start(self, wanted: Sequence[str], hub: str, environment: Mapping[str, str], tell: Tell) -> None:
        """Have all these nodes run, joined to one fleet. Raises ``OrchestratorError`` where one cannot."""
        for folder in (self.root.parent, self.root, *(self.root / node for node in wanted)):
            make_private(folder)
        others = [node for node in wanted if node != hub]
        if self.nodes and not self._is_hub(hub):
            raise DeployError(
                f"the hub of this local fleet is {self.nodes[0]}, and the manifest names {hub}",
                cure="take it down first: orchestrator down",
            )
        if not self._folder(hub).path.is_dir():
            link, enrol = free_port(LOCALHOST), free_port(LOCALHOST)
            begin_fleet(self._folder(hub, make=True), FirstNode(hub, LOCALHOST, link, enrol))
        self._run(hub, environment, tell)
        for node in others:
            if not self._folder(node).path.is_dir():
                self._join(hub, node)
            self._run(node, environment, tell)
        self._wait_for_links([hub, *others])

    def stop(self, patience: float = 30.0) -> None:
        """End all of its runtimes, the hub's last."""
        for node in reversed(self.nodes):
            stop_runtime(self.host(node), patience)

    def _folder(self, node: str, *, make: bool = False) -> FleetFolder:
        return FleetFolder(self.host(node).folders(make=make).state / "fleet")

    def _is_hub(self, node: str) -> bool:
        membership = self._folder(node).read()
        return membership is not None and membership.hub

    def _run(self, node: str, environment: Mapping[str, str], tell: Tell) -> None:
        began = time.monotonic()
        host = self.host(node)
        if RuntimeClient(host.folders(make=False)).answers():
            return
        ensure_runtime(host, {**environment, "ORCHESTRATOR_HOME": str(self.root / node)})
        tell(f"started node {node} in {time.monotonic() - began:.1f} s")

    def _join(self, hub: str, node: str) -> None:
        """As another machine does it; the hub's enrolment may not answer yet."""
        until = time.monotonic() + JOIN_SECONDS
        token = invitation(self._folder(hub), _VALID)
        while True:
            try:
                join_fleet(self._folder(node, make=True), token, node)
            except OrchestratorError:
                if time.monotonic() > until:
                    raise
                time.sleep(_GLANCE)
            else:
                return

    def _wait_for_links(self, nodes: Sequence[str]) -> None:
        until = time.monotonic() + LINK_SECONDS
        while not all((self.client(node).fleet() or {}).get("linked") for node in nodes):
            if time.monotonic() > until:
                raise DeployError("the nodes did not come to the hub in time", cure="orchestrator runtime logs")
            time.sleep(_GLANCE)


def hub_of(blueprint: Blueprint) -> str:
    """The node that carries the hub: the one that says so, else the first."""
    hubs = [node["name"] for node in blueprint.nodes if node["hub"]]
    return (hubs or [node["name"] for node in blueprint.nodes])[0]
