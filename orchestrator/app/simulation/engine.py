"""A node's engine as far as waiting goes: the gate, the scheduler's queues and the ways between nodes are the real ones; a model
is a server that takes its time. Routers choose at once, and nobody hands over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import anyio

from orchestrator.app.fleet.elsewhere import fault_of
from orchestrator.app.fleet.worker import UNLIMITED, load_of
from orchestrator.app.simulation.durations import Assumed
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.message import Message, Usage
from orchestrator.core.request import Request, Result, Status
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.node.asking import Way
from orchestrator.node.mesh import Mesh
from orchestrator.node.speed import Took, averaged
from orchestrator.node.worker import Asked, Emit, Held, Load
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Identity, Secret, ServedModel, Target
from orchestrator.serve.gate import Gate
from orchestrator.serve.loop import Ask, Loop
from orchestrator.serve.places import Place
from orchestrator.serve.scheduler_limits import SchedulerLimits

KIND: Final = "simulated"
_REPLY: Final = ChatReply(Message("assistant", ""), "stop", Usage())
_USUAL_SECONDS: Final = 0.2
"""The weight of the newest answer in the average, as a node's own engine has it."""


@dataclass(slots=True)
class Wish:
    """A request: to whom, at whose door, when; and what came of it. ``pace`` is how much longer than on average its answer takes.
    ``outcome``: empty while it is in work, ``answered``, the code of an error, ``gone`` (its door's node died with it), ``away``
    (its door's node was down) or ``kept`` (it waits until its agent is there again). ``served``: the node that answered, with the
    ``model``, and when it ``began``. ``begun``: all nodes that worked on it, with the model and when they began last."""

    id: str
    agent: str
    door: str
    at: float
    pace: float
    outcome: str = ""
    ended: float = 0.0
    served: str = ""
    model: str = ""
    began: float | None = None
    begun: dict[str, tuple[str, float]] = field(default_factory=dict)

    def begin(self, node: str, model: str) -> None:
        """Work on it begins, perhaps once more. It is on the loop's own clock."""
        self.begun[node] = (model, anyio.current_time())

    def answered_by(self, node: str, zero: float) -> None:
        """It was answered; the story's clock begins at ``zero``."""
        self.served = node
        self.model, began = self.begun[node]
        self.began = began - zero


@dataclass(frozen=True, slots=True)
class World:
    """What all nodes of a simulation share: what is wanted, what is assumed, and all requests by their ids."""

    blueprint: Blueprint
    assumed: Assumed
    jitter: Callable[[], float]
    wishes: dict[str, Wish] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    agents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, blueprint: Blueprint, assumed: Assumed, jitter: Callable[[], float]) -> World:
        """The world of a deployment."""
        models = {one.spec["alias"]: one.spec for one in blueprint.of_kind("model")}
        agents = {one.spec["name"]: one.spec for one in blueprint.of_kind("agent")}
        return cls(blueprint, assumed, jitter, {}, models, agents)


class ModelServer:
    """The server of one model on one node: a ``Provider`` that answers after the time that the wish takes there."""

    kind = KIND

    def __init__(self, world: World, node: str, alias: str) -> None:
        self.alias = alias
        self.busy = 0.0
        """Seconds of all its slots together that were spent on answers."""
        self._world, self._node = world, node

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:  # noqa: ARG002 - the port's
        """It is always there while its node is."""
        return Identity(KIND, url)

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:  # noqa: ARG002 - as above
        """Not asked for."""
        return ()

    async def chat(self, call: ChatCall) -> ChatReply:
        """Take the time of an answer."""
        world, wish = self._world, self._world.wishes[call.request_id]
        takes = wish.pace * world.assumed.seconds_of(wish.agent, world.models[self.alias], self._node)
        wish.begin(self._node, self.alias)
        began = anyio.current_time()
        try:
            await anyio.sleep(takes)
        finally:
            self.busy += anyio.current_time() - began
        return _REPLY

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The same, in one piece."""
        yield Delta("", await self.chat(call))

    async def aclose(self) -> None:
        """Nothing to close."""


class NodeEngine:
    """A ``Worker``: what a node does with the requests that come to its door, and with those that others give it."""

    def __init__(self, world: World, node: str) -> None:
        limits = SchedulerLimits().with_queue(world.blueprint.queue)
        self.node = node
        self.loop = Loop(limits, world.jitter)
        self.gate = Gate(world.blueprint.max_concurrent, limits.classes)
        self.gate.shared_by(self.loop.share)
        self.mesh: Mesh | None = None
        self.servers: dict[str, ModelServer] = {}
        self.in_work = self.away = 0
        self._world = world
        self._candidates: dict[str, tuple[str, ...]] = {}
        self._service_ms = 0.0
        self._took: dict[str, Took] = {}

    # ---- a worker ------------------------------------------------------------------------------------------------

    async def hold(self, agents: Mapping[str, Held], manifest: Mapping[str, Any], revision: int) -> None:  # noqa: ARG002 - the port's
        """Answer for these agents: models that it did not have in memory are loaded first."""
        wanted = {name: self._models_of(name, held.model) for name, held in agents.items()}
        for alias in sorted({alias for found in wanted.values() for alias in found} - self.servers.keys()):
            await anyio.sleep(self._world.assumed.load_seconds(self._world.models[alias], self.node))
            self.servers[alias] = ModelServer(self._world, self.node, alias)
        self._candidates = wanted
        self.loop.set_endpoints({alias: self._endpoint(alias) for alias in self.servers})

    def load(self) -> Load:
        """What it says of itself, reckoned as a real node reckons it."""
        told = load_of(self._candidates, self._slots(), self.in_work - self.away, self._service_ms)
        return replace(told, took=self._took)

    async def answer(self, asked: Asked, emit: Emit) -> Result:  # noqa: ARG002 - the port's: answers come whole
        """Answer a request of another node. A failure is a result too."""
        began = anyio.current_time()
        error = None
        try:
            wish = self._world.wishes[asked.request.id]
            await self._run(wish, asked.request.timeout or 0.0, handed=True)
        except OrchestratorError as fault:
            error = fault.as_json()
        share = _USUAL_SECONDS if self._service_ms else 1.0
        self._service_ms += share * ((anyio.current_time() - began) * 1e3 - self._service_ms)
        status: Status = "failed" if error else "completed"
        return Result(asked.request.id, self._world.blueprint.name, 1, status, "", asked.agent, error=error)

    # ---- requests ------------------------------------------------------------------------------------------------

    async def ask(self, wish: Wish) -> str:
        """A request that came to this node's door: gives the node that answered. Raises ``OrchestratorError``."""
        return await self._run(wish, self._world.blueprint.timeout)

    async def _run(self, wish: Wish, timeout: float, *, handed: bool = False) -> str:
        deadline = anyio.current_time() + timeout
        self.in_work += 1
        place = self.gate.request()
        try:
            if self.mesh is None or handed or self._stays(self.mesh, wish.agent):
                await self._here(wish, deadline, place)
                return self.node
            return await self._elsewhere(self.mesh, wish, deadline)
        finally:
            place.leave()
            self.in_work -= 1

    def _stays(self, mesh: Mesh, agent: str) -> bool:
        """Whether a request that came to this node's door is answered here, as a real node decides it."""
        spec = self._world.agents[agent]
        if agent not in self._candidates:
            return False
        if spec.get("exclusive"):
            return mesh.epoch_of(agent) is not None
        return spec["data_class"] == "restricted" or not mesh.sooner(agent)

    async def _here(self, wish: Wish, deadline: float, place: Place) -> None:
        candidates = self._candidates.get(wish.agent, ())
        if not candidates:
            wish.begin(self.node, "")
            await anyio.sleep(wish.pace * self._world.assumed.seconds_of(wish.agent, None, self.node))
            self._has_taken(wish)
            return
        call = ChatCall(Target("", "", ""), (Message("user", wish.agent),), request_id=wish.id)
        queue = self._world.blueprint.queue.get("interactive")
        await self.loop.chat(Ask(call, candidates, deadline, queue=queue, place=place))
        self._has_taken(wish)

    def _has_taken(self, wish: Wish) -> None:
        """So long without the waiting, as a real node reckons it."""
        now = anyio.current_time()
        self._took[wish.agent] = averaged(self._took.get(wish.agent), (now - wish.begun[self.node][1]) * 1e3, now)

    async def _elsewhere(self, mesh: Mesh, wish: Wish, deadline: float) -> str:
        request = Request(wish.agent, id=wish.id, timeout=max(0.0, deadline - anyio.current_time()))
        self.away += 1
        try:
            answer = await mesh.ask(request, wish.agent, way=Way(1))
        finally:
            self.away -= 1
        if answer.result.error:
            raise fault_of(answer.result.error)
        return answer.node

    # ---- models --------------------------------------------------------------------------------------------------

    def _models_of(self, agent: str, first: str) -> tuple[str, ...]:
        """Those that may answer for it here, the best first: the one that it was placed with, then what stands behind it."""
        if not first:
            return ()
        there = self._there()
        behind = [*self._world.agents[agent]["models"], *self._world.models[first]["fallback"]]
        return tuple(dict.fromkeys([first, *(alias for alias in behind if alias in there)]))

    def _there(self) -> set[str]:
        far = {alias for alias, spec in self._world.models.items() if spec["zone"] != "node"}
        homes = {alias for node in self._world.blueprint.nodes if node["name"] == self.node for alias in node["models"]}
        return (far | homes) if self._world.blueprint.nodes else set(self._world.models)

    def _endpoint(self, alias: str) -> EndpointSpec:
        spec, server = self._world.models[alias], self.servers[alias]
        target = Target(KIND, f"simulated://{self.node}/{alias}", alias)
        return EndpointSpec(alias, target, server, self._world.assumed.slots_of(spec))

    def _slots(self) -> int:
        """As a real node counts them."""
        if self._world.blueprint.max_concurrent is not None:
            return self._world.blueprint.max_concurrent
        used = {alias for found in self._candidates.values() for alias in found}
        return sum(self._world.assumed.slots_of(self._world.models[alias]) for alias in used) or UNLIMITED

    @property
    def waiting(self) -> int:
        """Requests in its queues."""
        return self.gate.waiting
