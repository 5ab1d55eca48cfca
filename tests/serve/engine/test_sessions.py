"""Conversations: what was said is seen later, one request at a time, and is there after a restart."""

from __future__ import annotations

import anyio
import pytest

from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from tests.serve.engine.parts import Wanted, agent_spec, history, serving

pytestmark = pytest.mark.anyio
AGENT = Wanted([agent_spec("a")])


async def test_later_requests_of_a_session_see_the_earlier_ones() -> None:
    """Requests without a session, and other sessions, do not."""
    async with serving(AGENT) as served:
        await served.run("one", session="s")
        await served.run("other", session="t")
        await served.run("two", session="s")
        assert served.sent() == [
            ("system", "You are a."),
            ("user", "one"),
            ("assistant", "one"),
            ("user", "two"),
        ]
        result = await served.run("three")
        assert len(served.sent()) == 2 and result.session == ""


async def test_requests_of_one_session_come_one_after_another() -> None:
    """Each sees the answer of the one before, in the order they came; other sessions do not wait."""
    async with serving(AGENT, simulated(["m"], pace=Pace(ttft=1.0), slots=8)) as served:
        done: list[tuple[str, float]] = []
        began = anyio.current_time()

        async def ask(text: str, session: str) -> None:
            await anyio.sleep(int(text[-1]) / 1000)
            await served.run(text, session=session)
            done.append((text, round(anyio.current_time() - began)))

        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(ask, f"s{number}", "s")
            tasks.start_soon(ask, "t0", "t")
        assert sorted(done) == [("s0", 1), ("s1", 2), ("s2", 3), ("s3", 4), ("t0", 1)]
        assert [text for role, text in served.sent() if role == "user"] == ["s0", "s1", "s2", "s3"]


async def test_a_request_that_waits_for_its_session_too_long_is_told() -> None:
    """Its time counts while it waits."""
    async with serving(AGENT, simulated(["m"], pace=Pace(ttft=50.0))) as served:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: served.run("slow", session="s"))
            await anyio.sleep(1)
            result = await served.run("quick", session="s", timeout=5.0)
        assert result.error is not None and result.error["kind"] == "DeadlinePassed"
        assert "the session" in result.error["message"]


async def test_only_so_many_requests_wait_for_one_session() -> None:
    """As many as of their class may wait anywhere; the next is refused at once, and those who wait are answered."""
    wanted = Wanted([agent_spec("a")], queue={"interactive": {"length": 2}})
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=10.0), slots=8)) as served:
        results: list[Result] = []

        async def ask() -> None:
            results.append(await served.run("x", session="s"))

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(ask)
            await anyio.sleep(1)
            assert [each.error["message"] for each in results if each.error] == [
                '2 requests wait for the session "s" already'
            ]
            assert (await served.run("y", session="t")).error is None
        assert [each.status for each in results] == ["failed", *["completed"] * 3]


async def test_requests_that_wait_for_their_session_keep_nobody_from_a_place() -> None:
    """Two places, one busy session: another session gets the second place at once."""
    wanted = Wanted([agent_spec("a")], max_concurrent=2)
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=10.0))) as served:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(lambda: served.run("x", session="busy"))
            await anyio.sleep(1)
            result = await served.run("y", session="other")
        assert result.timings["total"] == pytest.approx(10_000)


async def test_a_failed_or_cancelled_request_leaves_no_turn() -> None:
    """The session goes on as if it had not been."""
    server = simulated(["m"], pace=Pace(ttft=1.0))
    async with serving(AGENT, server) as served:
        await served.run("one", session="s")
        server.arm("bad-request")
        assert (await served.run("failed", session="s")).error
        with anyio.move_on_after(0.5):
            await served.run("cancelled", session="s")
        await served.run("two", session="s")
        assert [text for role, text in served.sent() if role == "user"] == ["one", "two"]


async def test_the_callers_history_counts_only_while_the_session_is_new() -> None:
    """A client that sends the conversation again does not double it; what it tells the model stays."""
    turns = (Message("system", "Be brief."), *history(2))
    async with serving(AGENT) as served:
        await served.run("one", session="s", history=turns)
        assert [text for role, text in served.sent() if role == "user"] == ["turn 0", "one"]
        await served.run("two", session="s", history=turns)
        assert [text for _, text in served.sent()] == ["You are a.\n\nBe brief.", "one", "one", "two"]
