"""A person's leave is used once: within one life for all that its run sends, and in no life after that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from orchestrator.core.approval import SENDING, Approval, Call, Verdict, digest_of_call
from orchestrator.core.errors import ApprovalClosed, StateUnusable, Withheld
from orchestrator.core.spending import NOTHING
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.ports.people import Asking
from orchestrator.serve.leave import Leave
from orchestrator.serve.steps.outward import MAYBE_SENT
from orchestrator.testing.endpoint import simulated
from tests.people.parts import approval, asking, desked
from tests.policy.test_leave import Asking as Gated
from tests.policy.test_leave import wanted
from tests.serve.engine.parts import agent_spec

pytestmark = pytest.mark.anyio


class Paper:
    """A desk that keeps in memory what it was told of a leave; ``fault`` is what it raises, ``begun``: an earlier try of the same
    life has sent something."""

    def __init__(self, fault: Exception | None = None, *, begun: bool = False) -> None:
        self.told: list[str] = []
        self.fault = fault
        self.begun = begun

    def now(self) -> float:
        return 0.0

    async def check_room(self, deployment: str, most: int) -> None: ...
    async def ask(self, asking: Asking) -> None: ...
    async def begin(self, approval: str) -> None: ...
    async def record(self, approval: str, outcome: object) -> None: ...

    async def spend(self, approval: str) -> bool:
        await self._told(f"spend {approval}")
        return self.begun

    async def give_back(self, approval: str) -> None:
        await self._told(f"give back {approval}")

    async def _told(self, what: str) -> None:
        await checkpoint()
        if self.fault is not None:
            raise self.fault
        self.told.append(what)


async def test_a_leave_is_written_down_once_and_given_back_only_where_nothing_was_done() -> None:
    desk = Paper()
    leave = Leave(desk, "apv_1")
    await leave.use()
    await leave.used(nothing_done=True)
    await leave.use()
    await leave.used(nothing_done=False)
    for nothing_done in (True, False):
        await leave.use()
        await leave.used(nothing_done=nothing_done)
    assert desk.told == ["spend apv_1", "give back apv_1", "spend apv_1"]


async def test_what_an_earlier_try_has_spent_is_not_given_back() -> None:
    """A run that failed for the moment goes on with a leave of its own each time."""
    desk = Paper(begun=True)
    leave = Leave(desk, "apv_1")
    await leave.use()
    await leave.used(nothing_done=True)
    assert desk.told == ["spend apv_1"]


async def test_of_two_calls_at_once_none_is_sent_before_it_is_written_down() -> None:
    """And it is not given back while one of them is under way."""
    desk = Paper()
    leave = Leave(desk, "apv_1")
    seen: list[list[str]] = []

    async def send() -> None:
        await leave.use()
        seen.append(list(desk.told))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        tasks.start_soon(send)
    await leave.used(nothing_done=True)
    assert seen == [["spend apv_1"]] * 2 and desk.told == ["spend apv_1"]
    await leave.used(nothing_done=True)
    assert desk.told == ["spend apv_1", "give back apv_1"]


@pytest.mark.parametrize(
    "fault", [StateUnusable("the disk is full", cure="Make room."), ApprovalClosed("used already")]
)
async def test_what_cannot_be_written_down_is_not_sent(fault: Exception) -> None:
    with pytest.raises(Withheld):
        await Leave(Paper(fault), "apv_1").use()


class Counted(Gated):
    """A deployment that limits its calls of a day, and in which a person must allow what leaves."""

    policy: Mapping[str, Any] = {"approval": "always", "budget": {"per_day": {"calls": 5}}}


async def test_a_disk_that_takes_no_leave_keeps_it_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent, and what was set aside for it is not spent."""
    counted = Counted([agent_spec("a")], cloud=["m@1"])
    async with desked(tmp_path, counted, simulated(["m"])) as there:
        waiting = await there.served.run("hello")

        async def full(_: str) -> None:
            raise StateUnusable("the disk is full", cure="Make room.")

        monkeypatch.setattr(there.desk, "spend", full)
        ended = await there.after(waiting, "approve")
        assert (ended["status"], ended["error"]["code"]) == ("failed", "ORC550")
        assert "a person's leave is used cannot be written down: the disk is full" in ended["error"]["message"]
        assert there.served.server.records == []
        spent = there.served.engine.ledger.today("shop")
        assert list(spent) == ["a"] and spent["a"] == NOTHING  # it was set aside, and is there again


async def test_a_stop_within_the_answer_ends_it_too(tmp_path: Path) -> None:
    """The next life asks a person, whose no sends nothing."""
    async with desked(tmp_path, wanted(), simulated(["m"], faults=["hang-before@1"])) as there:
        waiting = await there.served.run("hello")
        await there.decide(waiting, "approve")
        with anyio.fail_after(20):
            while not there.served.server.records:  # noqa: ASYNC110 - the simulated server tells nobody
                await anyio.sleep(0.01)
        before = await there.desk.find(waiting.approval)
        assert before.begun is not None and SENDING in before.held
    async with desked(tmp_path, wanted(), simulated(["m"])) as there:
        again = await there.end_of(waiting.id, waiting.approval)
        asked = await there.desk.find(again["approval"])
        assert (again["status"], asked.state) == ("waiting", "pending") and asked.why.startswith(MAYBE_SENT)
        await there.desk.decide(asked.id, Verdict("deny", "ana", "once is enough"))
        ended = await there.end_of(waiting.id, asked.id)
        assert (ended["error"]["code"], there.served.server.records) == ("ORC540", [])


def test_the_store_takes_a_leave_once_and_gives_it_back(tmp_path: Path) -> None:
    """A call of a tool has begun or not, whatever its run sends afterwards."""
    stores = open_stores(tmp_path / "state.db", now=lambda: 1_000.0)
    people = stores.people
    for number, function in ((1, "cloud.send"), (2, "shop.pay")):
        digest = digest_of_call("shop", "a", function, {})
        waits = approval(number, call=Call(function, {}, "external", "a model", digest), held={"at": {}})
        people.ask(asking(waits))
        people.decide(waits.id, Verdict("approve", digest=digest))

    def kept(number: int) -> tuple[float | None, dict[str, object]]:
        found: Approval = people.find(f"apv_{number:04d}")
        return found.begun, dict(found.held)

    for number, begun in ((1, 1_000.0), (2, None)):
        people.spend(f"apv_{number:04d}", again=False)
        assert kept(number) == (begun, {"at": {}, SENDING: 1_000.0})
        with pytest.raises(ApprovalClosed, match="was used already"):
            people.spend(f"apv_{number:04d}", again=False)
        people.spend(f"apv_{number:04d}", again=True)
        people.give_back(f"apv_{number:04d}")
        assert kept(number) == (None, {"at": {}})
    stores.close()
