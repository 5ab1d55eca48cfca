"""The fleet in the control API: what a node does for the whole of it, and what it sees of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError, UsageError
from orchestrator.deploy.wanted import refuse_mesh
from orchestrator.gateway.answering import Asked, Telling, tell_and_answer
from orchestrator.gateway.guard import send_json
from orchestrator.gateway.lines import line


class Logs(Protocol):
    """The event logs of deployments; each entry is a line of JSON."""

    def follow(self, deployment: str, count: int, forever: bool) -> AsyncIterator[bytes]:
        """The newest ``count`` lines, then with ``forever`` those that come."""
        ...


class Fleet(Protocol):
    """This runtime as a node of its fleet."""

    async def want(self, blueprint: Blueprint, tell: Telling) -> Mapping[str, Any]:
        """Make it what the whole fleet serves; ``tell`` hears how it goes over the nodes."""
        ...

    async def unwant(self, name: str) -> None:
        """Have the fleet serve it no more."""
        ...

    async def view(self) -> Mapping[str, Any]:
        """The fleet as this node sees it."""
        ...

    def logs(
        self, name: str, count: int, *, follows: bool, node: str = ""
    ) -> AbstractAsyncContextManager[AsyncIterator[Mapping[str, Any]]] | None:
        """The events of a deployment on all of its nodes, or on one; ``None`` where it is not of this fleet."""
        ...


class FleetRoutes:
    """``fleet`` gives ``None`` on a machine that belongs to none."""

    def __init__(self, fleet: Callable[[], Fleet | None]) -> None:
        self._fleet = fleet

    async def look(self, asked: Asked) -> None:
        """``fleet``: as this node sees it, or nothing."""
        fleet = self._fleet()
        found = dict(await fleet.view()) if fleet is not None else None
        await send_json(asked.send, 200, {"fleet": found})

    @asynccontextmanager
    async def logs(self, asked: Asked, own: Logs) -> AsyncIterator[AsyncIterator[bytes]]:
        """``GET /logs``: of all nodes where the deployment is a fleet's, else this runtime's ``own``."""
        name, count, follows = asked.text("name"), asked.count("lines", 100), asked.query.get("follow") in ("1", "true")
        node = asked.query.get("node", "")
        fleet = self._fleet()
        of_all = fleet.logs(name, count, follows=follows, node=node) if fleet is not None else None
        if of_all is not None:
            async with of_all as entries:
                yield (line(entry) async for entry in entries)
            return
        if node:
            raise UsageError(f"{name} does not run on a fleet", cure="leave --node out")
        yield own.follow(name, count, follows)

    async def apply(self, asked: Asked, blueprint: Blueprint) -> None:
        """Make it what the fleet serves; the answer comes once its nodes do. Raises ``DeployError`` where there is no fleet."""
        fleet = self._fleet()
        if fleet is None:
            refuse_mesh(blueprint)
            raise DeployError(
                f"{blueprint.name} is a node's share, which its fleet gives it", cure="apply the manifest"
            )

        async def work(tell: Telling) -> Any:
            return dict(await fleet.want(blueprint, tell))

        await tell_and_answer(asked, work, cancel_on_leave=False)

    async def down(self, asked: Asked, name: str) -> None:
        """Have the fleet serve it no more. Raises ``DeployError`` where this machine has left its fleet."""
        fleet = self._fleet()
        if fleet is None:
            raise DeployError(
                f"{name} is a share of a fleet that this machine is no node of", cure="orchestrator node status"
            )

        async def work(_: Telling) -> Any:
            await fleet.unwant(name)
            return {"name": name, "left": 0}

        await tell_and_answer(asked, work, cancel_on_leave=False)
