"""A run that waits for a person on another node of its fleet: two real engines over a simulated net, each with its own database.

The node that was asked first learns how it ends there: for its caller, its session, and whoever looks. All waiting is of virtual
time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import cast

import anyio
import pytest

from orchestrator.app.fleet.elsewhere import FleetElsewhere
from orchestrator.app.fleet.endings import Endings
from orchestrator.app.fleet.receipts import Receipts
from orchestrator.app.fleet.worker import EngineWorker
from orchestrator.app.simulation.fleet import MemoryKept
from orchestrator.core.approval import Verdict
from orchestrator.core.errors import RunError
from orchestrator.core.forwarded import sign_of
from orchestrator.core.request import Request, Result, Status
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.node.mesh import Mesh, Site
from orchestrator.node.subjects import Subjects
from orchestrator.node.wire import Call, call_letter, read_reply
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.sim_bus import SimBus, SimNet
from tests.mesh.test_engines import elsewhere
from tests.outbox.parts import Kept, deferring, delivery, kept
from tests.people.parts import PERSON, by_model, by_rule, paying, shop
from tests.serve.engine.parts import Wanted, agent_spec, router_spec, rule

pytestmark = pytest.mark.anyio
NO_RECONCILER = cast(Reconciler, None)
"""These engines are given their share by hand."""
WAYS = {"desk": "human", "a": "pay", "orders": "order"}
FRONT = Wanted(
    [
        router_spec("front", WAYS),
        agent_spec("orders", models=[], reflex=[rule("ordered")]),
        elsewhere("desk"),
        elsewhere("a"),
    ],
    bound={},
)


def _back() -> Wanted:
    """The node that has the person, and the agent whose payments one must allow."""
    tool = shop()
    return Wanted([agent_spec("desk", models=[], human=PERSON), *by_rule(tool).parts], [tool], bound={})


class Nodes:
    """Nodes that run, on a net, each over a folder of its own."""

    def __init__(self, folder: Path, net: SimNet, tasks: anyio.abc.TaskGroup) -> None:
        self.folder = folder
        self.net = net
        self.at: dict[str, Kept] = {}
        self.buses: dict[str, SimBus] = {}
        self._tasks = tasks
        self._scopes: dict[str, anyio.CancelScope] = {}

    async def start(self, node: str, wanted: Wanted, *servers: SimulatedEndpoint) -> Kept:
        """Start it, or start it again with what its disk holds."""
        await self._tasks.start(self._live, node, wanted, *servers)
        return self.at[node]

    async def _live(
        self, node: str, wanted: Wanted, *servers: SimulatedEndpoint, task_status: anyio.abc.TaskStatus[None]
    ) -> None:
        folder = self.folder / node
        folder.mkdir(exist_ok=True)
        with anyio.CancelScope() as self._scopes[node]:
            async with kept(folder, wanted, *servers) as it, anyio.create_task_group() as tasks:
                bus, board = self.net.join(node)
                self.buses[node] = bus
                it.served.on_node(node)
                worker = EngineWorker("shop", node, NO_RECONCILER, it.engines)
                worker.receipts = Receipts(it.stores.effects, it.stores.runs)
                site = Site(
                    "shop", bus, board, worker, MemoryKept(), lambda *_: None, Random(node).randrange, bus.sleep
                )
                mesh = Mesh(site)
                it.served.engine.elsewhere = FleetElsewhere(node, lambda: mesh)
                self.at[node] = it
                await tasks.start(self._run, mesh)
                task_status.started()

    async def _run(self, mesh: Mesh, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        await mesh.run(task_status=task_status)

    async def stop(self, node: str) -> None:
        """It is gone; its folder stays."""
        self._scopes[node].cancel()
        self.net.crash(node)
        await anyio.sleep(0.1)


@asynccontextmanager
async def fleet(
    folder: Path, front: Wanted = FRONT, back: Wanted | None = None, *servers: SimulatedEndpoint
) -> AsyncIterator[Nodes]:
    """Two nodes that have heard of each other: ``n1`` is asked, ``n2`` has the people."""
    async with anyio.create_task_group() as tasks:
        net = SimNet(Random(1), True)
        tasks.start_soon(net.run)
        nodes = Nodes(folder, net, tasks)
        await nodes.start("n1", front)
        await nodes.start("n2", back or _back(), *servers)
        await anyio.sleep(2)
        yield nodes
        tasks.cancel_scope.cancel()


async def _decide(it: Kept, result: Result, act: str, text: str = "") -> None:
    found = await it.desk.find(result.approval)
    digest = found.call.digest if found.call else ""
    await it.desk.decide(result.approval, Verdict(act, "ana", text, digest))  # type: ignore[arg-type] # one of the acts


async def test_the_answer_of_a_person_there_is_the_end_of_the_run_here(tmp_path: Path) -> None:
    """And the next turn of its session knows it."""
    async with fleet(tmp_path) as nodes:
        first, second = nodes.at["n1"], nodes.at["n2"]
        result = await first.served.run("a human please", session="s")
        assert (result.status, result.node, result.approval[:4]) == ("waiting", "n2", "apv_")
        found = await first.desk.result_of(result.id)
        assert found is not None and (found["status"], found["approval"]) == ("waiting", result.approval)
        [waits] = await first.forwarder.newest("shop", 9, closed=False)
        assert waits.there == "n2" and waits.away == f"it waits for a person on node n2 ({result.approval})"
        await _decide(second, result, "answer", "At three.")
        ended = await first.end_of(result.id)
        turns = [each.content for each in first.stores.sessions.load("shop", "s")]
    assert (ended["status"], ended["text"], ended["node"]) == ("completed", "At three.", "n2")
    assert turns == ["a human please", result.text, "At three."]
    assert [step["kind"] for step in ended["steps"]].count("person") == 1 and ended["path"][-1] == "agent.desk"


async def test_both_may_be_started_again_between_the_question_and_the_answer(tmp_path: Path) -> None:
    """First the one that was asked; then the one with the person, whose node is away while it is asked for."""
    async with fleet(tmp_path) as nodes:
        result = await nodes.at["n1"].served.run("a human please", session="s")
        await nodes.stop("n1")
        first = await nodes.start("n1", FRONT)
        await anyio.sleep(10)
        await nodes.stop("n2")
        await anyio.sleep(30)
        [waits] = await first.forwarder.newest("shop", 9, closed=False)
        assert "which does not answer" in waits.error
        second = await nodes.start("n2", _back())
        await _decide(second, result, "answer", "At three.")
        ended = await first.end_of(result.id)
        turns = [each.content for each in first.stores.sessions.load("shop", "s")]
    assert (ended["status"], ended["text"]) == ("completed", "At three.")
    assert turns == ["a human please", result.text, "At three."]


async def test_it_is_known_here_though_the_person_decided_while_this_node_was_away(tmp_path: Path) -> None:
    """It asks once it is back."""
    async with fleet(tmp_path) as nodes:
        result = await nodes.at["n1"].served.run("a human please")
        await nodes.stop("n1")
        await _decide(nodes.at["n2"], result, "answer", "At three.")
        await nodes.at["n2"].end_of(f"{result.id}.1")
        first = await nodes.start("n1", FRONT)
        ended = await first.end_of(result.id)
    assert (ended["status"], ended["text"]) == ("completed", "At three.")


async def test_who_says_no_there_ends_it_here_with_the_same_error(tmp_path: Path) -> None:
    """As does nobody who comes in time; a session hears no answer."""
    async with fleet(tmp_path) as nodes:
        first, second = nodes.at["n1"], nodes.at["n2"]
        denied = await first.served.run("a human please", session="s")
        await _decide(second, denied, "deny", "not today")
        ended = await first.end_of(denied.id)
        assert (ended["status"], ended["error"]["code"]) == ("failed", "ORC540") and "not today" in str(ended["error"])
        late = await first.served.run("a human please", session="s")
        second.clock.now += 90_000
        second.desk.wake()
        over = await first.end_of(late.id)
        turns = [each.content for each in first.stores.sessions.load("shop", "s")]
    assert (over["status"], over["error"]["code"]) == ("failed", "ORC541")
    assert turns == ["a human please", denied.text, "a human please", late.text]


async def test_a_call_that_is_allowed_there_is_made_there_and_what_it_gave_is_the_answer_here(tmp_path: Path) -> None:
    """Its steps and its cost are counted once."""
    async with fleet(tmp_path) as nodes:
        first, second = nodes.at["n1"], nodes.at["n2"]
        result = await first.served.run("pay 7")
        await _decide(second, result, "approve")
        ended = await first.end_of(result.id)
    assert (ended["status"], ended["text"]) == ("completed", "done: paid")
    assert [step["kind"] for step in ended["steps"]] == ["route", "forward", "person", "tool", "reflex"]
    assert ended["usage"]["tool_calls"] == 1 and ended["path"] == ["router.front", "agent.a"]


async def test_a_node_that_is_gone_for_good_is_not_waited_for_beyond_the_time_of_its_people(tmp_path: Path) -> None:
    """That time begins with its last word, however long its person takes."""
    async with fleet(tmp_path) as nodes:
        first = nodes.at["n1"]
        result = await first.served.run("a human please")
        first.clock.now += 80_000
        await anyio.sleep(20)  # it says that it waits still
        [waits] = await first.forwarder.newest("shop", 9, closed=False)
        assert waits.expires > first.clock.now + 80_000
        await nodes.stop("n2")
        first.clock.now += 90_000
        first.forwarder.wake()
        ended = await first.end_of(result.id)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "ORC544")
    assert result.approval in ended["error"]["message"] and "n2" in ended["error"]["message"]


async def test_a_node_that_has_lost_its_disk_says_so_and_the_run_ends(tmp_path: Path) -> None:
    """Nobody is asked anew for what somebody may have answered."""
    async with fleet(tmp_path) as nodes:
        first = nodes.at["n1"]
        result = await first.served.run("a human please")
        await nodes.stop("n2")
        (tmp_path / "n2").rename(tmp_path / "gone")
        second = await nodes.start("n2", _back())
        ended = await first.end_of(result.id)
        assert await second.desk.newest("shop", 9, closed=True) == []
    assert (ended["status"], ended["error"]["code"]) == ("failed", "ORC543")
    assert f"n2 knows nothing of {result.id}.1 any more" in ended["error"]["message"]


async def test_who_looks_there_holds_up_nobody(tmp_path: Path) -> None:
    """Each run that waits is asked for on its own: the first may wait for days."""
    async with fleet(tmp_path) as nodes:
        first, second = nodes.at["n1"], nodes.at["n2"]
        asked = [await first.served.run("a human please") for _ in range(5)]
        await _decide(second, asked[3], "answer", "the fourth")
        ended = await first.end_of(asked[3].id)
        assert (ended["text"], await first.waiting()) == ("the fourth", 4)


async def test_who_hears_that_it_has_ended_there_asks_at_once(tmp_path: Path) -> None:
    """After hours it is asked for once a minute."""
    async with fleet(tmp_path) as nodes:
        first, second = nodes.at["n1"], nodes.at["n2"]
        result = await first.served.run("a human please")
        await anyio.sleep(200)
        [waits] = await first.forwarder.newest("shop", 9, closed=False)
        await _decide(second, result, "answer", "At three.")
        await second.end_of(waits.part)
        began = anyio.current_time()
        first.forwarder.hear_end(sign_of(waits.part))
        assert (await first.end_of(result.id))["text"] == "At three."
        assert anyio.current_time() - began < 2


async def test_a_node_that_was_not_told_to_wait_is_not_told_the_end(tmp_path: Path) -> None:
    """Though it knows the id: neither for looking, nor for asking it as its own, nor under the name of the one that was told."""
    async with fleet(tmp_path) as nodes:
        third = await nodes.start("n3", FRONT)
        await anyio.sleep(2)
        first, second = nodes.at["n1"], nodes.at["n2"]
        result = await first.served.run("a human please", session="s")
        await _decide(second, result, "answer", "Secret at three.")
        part = f"{result.id}.1"
        await second.end_of(part)
        assert third.served.engine.elsewhere is not None and first.served.engine.elsewhere is not None
        told = await third.served.engine.elsewhere.look("n2", part, "desk")
        with pytest.raises(RunError) as caught:
            await third.served.engine.elsewhere.answer(Request("a human please", agent="desk"), None, key=part)
        heard = [await _heard_by(nodes.buses["n3"], caller, part) for caller in ("n1", "n3")]
        owner = await first.served.engine.elsewhere.look("n2", part, "desk")
    assert (told.status, told.text) == ("failed", "") and f"n2 knows nothing of {part}" in str(told.error)
    assert "Secret" not in str(caught.value) and "Secret" not in str(heard)
    assert heard[0] == [] and f"n2 knows nothing of {part}" in str(heard[1])
    assert (owner.status, owner.text) == ("completed", "Secret at three.")


async def _heard_by(bus: SimBus, caller: str, run: str) -> list[str]:
    """What a node hears that looks at a run of the second one and says that it is ``caller``."""
    heard, inbox, asks = list[str](), bus.inbox("look"), Request("", id=run, agent="desk")
    call = Call(run, "desk", caller, 1, 1, 5000, "internal", 1, asks.as_json(), looks=True)
    with anyio.move_on_after(5):
        async with bus.listen(inbox) as letters:
            await bus.send(call_letter(Subjects("shop").call("n2", "desk"), call, inbox))
            async for letter in letters:
                heard.append(str(read_reply(letter).said))
    return heard


async def test_a_node_tells_the_others_that_a_run_has_ended_for_which_they_wait() -> None:
    """Not of its own runs, nor of those that never waited. All hear it, and only who knows the id learns which run it is."""
    heard: list[str] = []
    async with anyio.create_task_group() as tasks:
        net = SimNet(Random(1), True)
        tasks.start_soon(net.run)
        (near, _), (far, _) = net.join("n1"), net.join("n2")
        tasks.start_soon(Endings(near, Subjects("shop"), heard.append).run)
        there = Endings(far, Subjects("shop"), lambda run: None)
        tasks.start_soon(there.run)
        await anyio.sleep(1)
        part = Result("run_0123456789abcdef.1", "shop", 1, "completed", "at three", approval="apv_1")
        there.note(part)
        there.note(replace(part, id="once_0123456789abcdef.far.1"))
        there.note(replace(part, id="run_0123456789abcdef"))
        there.note(replace(part, approval=""))
        there.note(replace(part, status="waiting"))
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()
    assert heard == [sign_of("run_0123456789abcdef.1"), sign_of("once_0123456789abcdef.far.1")]


async def test_a_run_that_waits_there_for_one_person_after_the_other_waits_here_as_long(tmp_path: Path) -> None:
    """Whoever looks here is told of the second one; the session hears both promises and the end."""
    back = by_model(tool := shop())
    async with fleet(tmp_path, FRONT, back, simulated(["m"], paying(5, 6))) as nodes:
        first, second = nodes.at["n1"], nodes.at["n2"]
        result = await first.served.run("pay 5 and 6", session="s")
        await _decide(second, result, "approve")
        waits = await first.end_of(result.id, result.approval)
        assert waits["status"] == "waiting" and waits["approval"] not in ("", result.approval)
        again = replace(result, approval=waits["approval"])
        assert [each.state for each in await first.forwarder.newest("shop", 9, closed=True)] == ["waiting", "delivered"]
        await _decide(second, again, "approve")
        ended = await first.end_of(result.id)
        turns = [each.content for each in first.stores.sessions.load("shop", "s")]
    assert (ended["status"], len(tool.calls), ended["usage"]["tool_calls"]) == ("completed", 2, 2)
    assert turns == ["pay 5 and 6", result.text, waits["text"], ended["text"]]


async def test_a_node_that_asked_another_one_in_turn_passes_the_end_on(tmp_path: Path) -> None:
    """The agent of the second node hands over to a person on a third; each keeps the run that it was asked for."""
    front = Wanted([router_spec("front", {"b": "pain"}), elsewhere("b")], bound={})
    between = Wanted([agent_spec("b", escalate_to="desk"), elsewhere("desk")], bound={})
    async with fleet(tmp_path, front, between) as nodes:
        third = await nodes.start("n3", _back())
        await anyio.sleep(2)
        result = await nodes.at["n1"].served.run("I have pain", session="s")
        assert (result.status, result.node) == ("waiting", "n3")
        waits = [(await nodes.at[node].forwarder.newest("shop", 9, closed=False))[0] for node in ("n1", "n2")]
        assert [each.there for each in waits] == ["n2", "n3"]
        await _decide(third, result, "answer", "At three.")
        ended = await nodes.at["n1"].end_of(result.id)
        part = await nodes.at["n2"].desk.result_of(waits[1].run)
    assert (ended["status"], ended["text"], ended["node"]) == ("completed", "At three.", "n3")
    assert ended["path"] == ["router.front", "agent.b", "agent.desk"]
    assert part is not None and (part["id"], part["status"]) == (f"{result.id}.1", "completed")


async def test_a_part_of_a_request_that_waits_there_goes_on_here_as_a_run_of_its_own(tmp_path: Path) -> None:
    """The reply is complete; the person's words come as a turn after it, once."""
    front = router_spec("front", {"desk": "human", "orders": "order"})
    front["several"] = True
    orders = agent_spec("orders", models=[], reflex=[rule("ordered")])
    async with fleet(tmp_path, Wanted([front, elsewhere("desk"), orders], bound={})) as nodes:
        first, second = nodes.at["n1"], nodes.at["n2"]
        result = await first.served.run("a human please, and where is my order", session="s")
        waits, told = result.parts
        assert (result.status, waits.status, told.text) == ("completed", "waiting", "ordered")
        assert waits.run not in ("", result.id)
        await _decide(second, replace(result, approval=waits.approval), "answer", "At three.")
        ended = await first.end_of(waits.run)
        turns = [each.content for each in first.stores.sessions.load("shop", "s")]
    assert (ended["id"], ended["status"], ended["text"]) == (waits.run, "completed", "At three.")
    assert turns == ["a human please, and where is my order", result.text, "At three."]


async def test_what_must_not_leave_is_marked_in_an_answer_that_comes_later(tmp_path: Path) -> None:
    """The end is kept with its marks for the node that asked, and without them for people and programs."""
    stores = open_stores(tmp_path / "state.db")
    receipts, result = Receipts(stores.effects, stores.runs), _marked("waiting")
    await receipts.keep("shop", result.id, "n1", result)
    waiting = delivery(run=result.id, agent="a")
    stores.outbox.defer(deferring(waiting))
    assert stores.outbox.settle(waiting.id, _marked("completed"), "who is it", ())
    told, run = await receipts.known(result.id, "n1", "n2"), stores.runs.find(result.id)
    stores.close()
    assert (told.status, told.marks) == ("completed", ((0, 4, "patient"),))
    assert run is not None and "marks" not in run


def _marked(status: Status) -> Result:
    return Result(
        "run_0123456789abcdef.1", "shop", 1, status, "Anna", "a", approval="apv_1", marks=((0, 4, "patient"),)
    )
