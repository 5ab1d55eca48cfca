"""All nodes of a manifest on this one machine: each with a home, a runtime and a leaf of its own, joined as real ones are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any, Final

from orchestrator.app.answer import NONE_RUNS, RuntimeHangs
from orchestrator.app.client import Listen, RuntimeClient
from orchestrator.app.fleet.identity import LOCALHOST, FirstNode, FleetFolder, begin_fleet
from orchestrator.app.fleet.inviting import invitation
from orchestrator.app.fleet.joining import join_fleet
from orchestrator.app.start import ensure_runtime, stop_runtime
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError, OrchestratorError
from orchestrator.core.request import Request, Result
from orchestrator.deploy.free_port import free_ports
from orchestrator.plugins.hosts.local import LocalHost, make_private
from orchestrator.ports.host import FLEETS

JOIN_SECONDS: Final = 30.0
"""How long the hub's enrolment may take until it answers."""
LINK_SECONDS: Final = 30.0
APPLY: Final = "orchestrator apply FILE --local"
HEARD_SECONDS: Final = 10.0
"""How long an apply waits at most until all nodes have heard each other: they say twice a second that they live."""
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
        return NodeClient(self, node)

    @property
    def name(self) -> str:
        """The deployment."""
        return self.root.name

    def running(self) -> list[str]:
        """Those of its nodes that run; the hub first."""
        return [node for node in self.nodes if _runs(self.client(node))]

    def first(self) -> str:
        """Who is asked where nobody is named: the first that runs, the hub's node where none does."""
        return next((node for node in self.nodes if _runs(self.client(node))), self.nodes[0])

    def runs(self) -> bool:
        """Whether any of its nodes does."""
        return any(_runs(self.client(node)) for node in self.nodes)

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
            link, enrol = free_ports(LOCALHOST, 2)
            begin_fleet(self._folder(hub, make=True), FirstNode(hub, LOCALHOST, link, enrol))
        self._run(hub, environment, tell)
        for node in others:
            if not self._folder(node).path.is_dir():
                self._join(hub, node)
            self._run(node, environment, tell)
        self._wait_for_links([hub, *others])

    def wait_until_heard(self, generation: int, nodes: Sequence[str]) -> list[str]:
        """Wait until each of these nodes has heard all of them, and that they serve this generation and hold what they are to: who
        asks then is answered at once. Gives those that had not after ``HEARD_SECONDS``; they go on by themselves."""
        until = time.monotonic() + HEARD_SECONDS
        while True:
            late = [node for node in nodes if not self._hears(node, generation, nodes)]
            if not late or time.monotonic() > until:
                return late
            time.sleep(_GLANCE)

    def view_of(self, client: RuntimeClient) -> dict[str, Any]:
        """The deployment as a node sees it; empty where it is not of its fleet yet."""
        seen = client.fleet() or {"deployments": []}
        return next((each for each in seen["deployments"] if each["name"] == self.name), {})

    def _hears(self, node: str, generation: int, others: Sequence[str]) -> bool:
        mine = self.view_of(self.client(node))
        if not mine:
            return False
        for other in others:
            told = mine["nodes"].get(other, {})
            if (told.get("health"), told.get("generation")) != ("alive", generation):
                return False
            if any(other in held["nodes"] and agent not in told["agents"] for agent, held in mine["agents"].items()):
                return False
        return True

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
                at = _instead(self, nodes[0])["orchestrator runtime logs"]
                raise DeployError("the nodes did not come to the hub in time", cure=f"{at} says what its hub met")
            time.sleep(_GLANCE)


class NodeClient(RuntimeClient):
    """A client of one of the nodes. What goes wrong is told with what is typed here: commands for the runtime reach the user's
    own one, and nothing but ``apply --local`` starts a node."""

    def __init__(self, fleet: LocalFleet, node: str) -> None:
        super().__init__(fleet.host(node).folders(make=False))
        self._away = f"node {node} of {fleet.name}, whose nodes all are on this machine, does not run"
        self._instead = _instead(fleet, node)

    def run(self, name: str, request: Request, listen: Listen | None = None) -> Result:
        """As of any runtime."""
        result = super().run(name, request, listen)
        if not result.error:
            return result
        return replace(result, error={**result.error, "cure": self._cured(str(result.error.get("cure", "")))})

    def _fitted(self, error: OrchestratorError) -> OrchestratorError:
        if error.message == NONE_RUNS:
            error.message, error.args = self._away, (self._away,)
        error.cure = self._cured(error.cure)
        return error

    def _cured(self, cure: str) -> str:
        for said, typed in self._instead.items():
            cure = cure.replace(said, typed)
        return cure


def _instead(fleet: LocalFleet, node: str) -> dict[str, str]:
    """What is typed for a node in place of what is for the user's own runtime; longer words come before their parts."""
    as_node = f"ORCHESTRATOR_HOME={quote(str(fleet.root / node))} orchestrator"
    return {
        "apply FILE starts one": "apply FILE --local starts it",
        "runtime stop ends it, start brings it back": f"down {fleet.name} ends it, {APPLY} brings it back",
        "orchestrator runtime start": APPLY,
        "orchestrator runtime stop": f"orchestrator down {fleet.name}",
        "orchestrator runtime logs": f"{as_node} runtime logs",
        "orchestrator node ": f"{as_node} node ",
    }


def local_fleets(state: Path) -> list[LocalFleet]:
    """The fleets of a user that run on this machine, or some of whose nodes do."""
    found = [LocalFleet(each) for each in sorted((state / FLEETS).glob("*")) if each.is_dir()]
    return [fleet for fleet in found if fleet.runs()]


def _runs(client: RuntimeClient) -> bool:
    """One that hangs runs."""
    try:
        return client.answers()
    except RuntimeHangs:
        return True


def hub_of(blueprint: Blueprint) -> str:
    """The node that carries the hub: the one that says so, else the first."""
    hubs = [node["name"] for node in blueprint.nodes if node["hub"]]
    return (hubs or [node["name"] for node in blueprint.nodes])[0]
