"""What waits for targets, small: an engine with a forwarder over a real database, on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from orchestrator.core.delivery import Delivery
from orchestrator.core.event import Event
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.plugins.stores.sqlite import StateStores, open_stores
from orchestrator.ports.outbox import Deferring
from orchestrator.serve.ends import Ends
from orchestrator.serve.engine import EngineTable
from orchestrator.serve.forward import Forwarder, ForwarderWays
from orchestrator.serve.people import DeskWays, PeopleDesk
from orchestrator.serve.session import Sessions
from orchestrator.testing.endpoint import SimulatedEndpoint
from tests.people.parts import Clock
from tests.serve.engine.parts import Served, Wanted, agent_spec, serving


def delivery(number: int = 1, **fields: Any) -> Delivery:
    """A request that waits, or what the fields say."""
    usual: dict[str, Any] = {
        "id": f"dlv_{number:04d}",
        "deployment": "shop",
        "revision": 3,
        "run": f"run_{number:04d}",
        "agent": "far",
        "text": "explain it",
        "created": 1_000.0,
        "expires": 2_000.0,
        "away": "nobody answers",
        "held": {"typed": "explain it"},
    }
    return Delivery(**{**usual, **fields})


def deferring(one: Delivery, *, most: int = 10) -> Deferring:
    """All that is stored with it."""
    result = Result(one.run, one.deployment, 3, "waiting", "later", approval=one.id, session=one.session)
    said = (Message("user", one.text), Message("assistant", "later"))
    return Deferring(one, result, said, one.data_class == "restricted", most)


def far(**fields: Any) -> Wanted:
    """An agent whose requests wait while its model cannot be reached."""
    kept: dict[str, Any] = fields.pop("kept", {})
    return Wanted([agent_spec("far", **fields) | {"store_and_forward": kept}])


@dataclass
class Kept:
    """A served engine with a forwarder over a database, and what it told."""

    served: Served
    forwarder: Forwarder
    desk: PeopleDesk
    stores: StateStores
    clock: Clock
    engines: EngineTable
    trouble: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def forwarding(self) -> AsyncIterator[None]:
        """What waits is tried while the block runs."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.forwarder.run)
            yield
            tasks.cancel_scope.cancel()

    async def end_of(self, run: str, waiting: str = "") -> Mapping[str, Any]:
        """The stored form of a run that does not wait any more, or waits for something else than ``waiting``."""
        while True:
            changed = self.desk.ends.changed
            found = await self.desk.result_of(run)
            if found is not None and (found["status"] != "waiting" or waiting not in ("", found["approval"])):
                return found
            await changed.wait()

    def events(self, kind: str) -> list[Event]:
        """Those of a kind."""
        return [event for event in self.served.events if event.kind == kind]

    async def until(self, condition: Callable[[], bool], seconds: float = 600.0) -> None:
        """Wait for something of which nobody is told, as what a simulated server has got. Of virtual time."""
        with anyio.fail_after(seconds):
            while not condition():  # noqa: ASYNC110 - there is no event for it
                await anyio.sleep(0.1)

    async def waiting(self) -> int:
        """How many wait."""
        return len(await self.forwarder.newest("", 1_000, closed=False))


@asynccontextmanager
async def kept(folder: Path, wanted: Wanted, *servers: SimulatedEndpoint, works: bool = True) -> AsyncIterator[Kept]:
    """Serve it with a forwarder; ``works``: it tries what waits."""
    clock, trouble = Clock(), []  # type: ignore[var-annotated] # what they hold shows where they go
    stores = open_stores(folder / "state.db", now=clock)
    sessions, engines = Sessions(stores.sessions), EngineTable()

    async def notify(_: Any) -> None:
        """Nobody is told."""

    try:
        async with serving(wanted, *servers, sessions=sessions) as served:
            ends = Ends(sessions, served.events.append, clock)
            ways = DeskWays(served.events.append, trouble.append, notify, lambda _: True, lambda: True, clock)
            desk = PeopleDesk(stores.people, ends, engines, ways)
            forwarder = Forwarder(
                stores.outbox, ends, engines, ForwarderWays(served.events.append, trouble.append, clock)
            )
            served.engine.desk, served.engine.outbox = desk, forwarder
            engines.switch("shop", served.engine)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(desk.run)
                it = Kept(served, forwarder, desk, stores, clock, engines, trouble)
                async with it.forwarding() if works else nullcontext():
                    yield it
                tasks.cancel_scope.cancel()
    finally:
        stores.close()
