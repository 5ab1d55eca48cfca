"""What waits for people, small: approvals of a store, and an engine with a desk over a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from orchestrator.core.approval import Approval, Call, Verdict, digest_of_call
from orchestrator.core.errors import DeployError
from orchestrator.core.event import Event
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.plugins.stores.sqlite import StateStores, open_stores
from orchestrator.ports.people import Asking, Notice
from orchestrator.serve.ends import Ends
from orchestrator.serve.engine import EngineTable
from orchestrator.serve.people import DeskWays, PeopleDesk
from orchestrator.serve.session import Sessions
from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.script import Rule, Script
from tests.serve.engine.parts import FakeTool, Served, Wanted, agent_spec, rule, serving


@dataclass
class Clock:
    """The wall clock of a test."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def call(amount: int = 5) -> Call:
    """A call that waits."""
    arguments = {"amount": amount}
    return Call("shop.pay", arguments, "write", "rule 1 of agent.a", digest_of_call("shop", "a", "shop.pay", arguments))


def approval(number: int = 1, **fields: Any) -> Approval:
    """A question, or what the fields say."""
    usual: dict[str, Any] = {
        "id": f"apv_{number:04d}",
        "deployment": "shop",
        "revision": 3,
        "run": f"run_{number:04d}",
        "agent": "a",
        "queue": "desk",
        "kind": "call" if fields.get("call") else "question",
        "text": "pay it",
        "created": 1_000.0,
        "expires": 2_000.0,
    }
    return Approval(**{**usual, **fields})


def asking(one: Approval, *, most: int = 10, channels: tuple[str, ...] = ()) -> Asking:
    """All that is stored with it."""
    result = Result(one.run, one.deployment, 3, "waiting", "please wait", approval=one.id, session=one.session)
    said = (Message("user", one.text), Message("assistant", "please wait"))
    return Asking(one, result, said, one.data_class == "restricted", channels, most)


@dataclass
class Desked:
    """A served engine with a desk over a database, and what it told."""

    served: Served
    desk: PeopleDesk
    stores: StateStores
    clock: Clock
    told: list[Notice]
    engines: EngineTable
    trouble: list[str] = field(default_factory=list)
    restored: bool = True

    async def decide(self, result: Result, act: str, text: str = "", by: str = "ana") -> Approval:
        """As a person who has seen what waits."""
        found = await self.desk.find(result.approval)
        digest = found.call.digest if found.call else ""
        return await self.desk.decide(result.approval, Verdict(act, by, text, digest))  # type: ignore[arg-type] # one of the acts, as a plain text

    async def end_of(self, run: str, approval: str = "") -> Mapping[str, Any]:
        """The stored form of a run that does not wait any more, or waits for another approval than ``approval``."""
        with anyio.fail_after(20):
            while True:
                changed = self.desk.ends.changed
                found = await self.desk.result_of(run)
                if found is not None and (found["status"] != "waiting" or approval not in ("", found["approval"])):
                    return found
                await changed.wait()

    async def after(self, result: Result, act: str, text: str = "") -> Mapping[str, Any]:
        """How the run ends after a verdict."""
        await self.decide(result, act, text)
        return await self.end_of(result.id, result.approval)

    def events(self, kind: str) -> list[Event]:
        """Those of a kind."""
        return [event for event in self.served.events if event.kind == kind]


@asynccontextmanager
async def desked(
    folder: Path,
    wanted: Wanted,
    *servers: SimulatedEndpoint,
    tell: Callable[[Notice], None] | None = None,
    works: bool = True,
    stuck: anyio.Event | None = None,
) -> AsyncIterator[Desked]:
    """Serve it with a desk; ``works``: the desk lets runs go on; ``stuck``: until then, its webhook does not answer."""
    clock, told, trouble = Clock(), [], []  # type: ignore[var-annotated] # what they hold shows where they go
    stores = open_stores(folder / "state.db", now=clock)
    sessions, engines = Sessions(stores.sessions), EngineTable()

    async def notify(notice: Notice) -> None:
        told.append(notice)
        if stuck is not None and notice.channel == "webhook":
            await stuck.wait()
        if tell is not None:
            tell(notice)

    try:
        async with serving(wanted, *servers, sessions=sessions) as served:
            ways = DeskWays(
                served.events.append, trouble.append, notify, lambda _: True, restored=lambda: it.restored, now=clock
            )
            desk = PeopleDesk(stores.people, Ends(sessions, served.events.append, clock), engines, ways)
            it = Desked(served, desk, stores, clock, told, engines, trouble)
            served.engine.desk = desk
            engines.switch("shop", served.engine)
            async with anyio.create_task_group() as tasks:
                if works:
                    tasks.start_soon(desk.run)
                yield it
                tasks.cancel_scope.cancel()
    finally:
        stores.close()


def dead(_: Notice) -> None:
    """A channel that takes nothing."""
    raise DeployError("the webhook answered 500")


PERSON = {"queue": "desk", "say": "wait: {{ ticket }}"}
AMOUNT = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}


def person(**people: Any) -> Wanted:
    """An agent that is a person, without tickets."""
    return Wanted([agent_spec("desk", models=[], human=PERSON)], bound={}, people=people)


def shop(gives: Any = "paid", approval: str = "always") -> FakeTool:
    """A tool whose calls a person must allow."""
    return FakeTool("shop", {"pay": gives, "look": "5 left"}, AMOUNT, approval=approval)


def by_rule(tool: FakeTool, **fields: Any) -> Wanted:
    """An agent that pays by a rule."""
    pay = rule("done: {{ result }}", call="shop.pay", arguments={"amount": "{{ n }}"}, extract={"n": "([0-9]+)"})
    return Wanted([agent_spec("a", models=[], tools=["shop"], reflex=[pay], **fields)], [tool], bound={})


def by_model(tool: FakeTool, **fields: Any) -> Wanted:
    """An agent whose model pays."""
    return Wanted([agent_spec("a", tools=["shop"], **fields)], [tool])


def paying(*amounts: int, say: str = "it said: {result}") -> Script:
    """A model that wants these payments at once, and then says what came of it."""
    calls = tuple(("shop_pay", {"amount": amount}) for amount in amounts)
    return Script([Rule("pay", say=say, calls=calls)])


def kinds(found: Mapping[str, Any]) -> list[str]:
    """The kinds of a stored run's steps."""
    return [step["kind"] for step in found["steps"]]
