"""A server that lets nobody in, or has not the model now, says nothing of the requests: they wait, those that were sent and those
that were not; and what a person hurries is really sent."""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path

import anyio
import pytest

from orchestrator.testing.endpoint import simulated
from tests.outbox.parts import far, kept

pytestmark = pytest.mark.anyio
REFUSALS = ["unauthorized", "forbidden", "model-missing"]


async def was_asked(sent: Sized, times: int) -> None:
    """Waits, in virtual time, until a server was asked so often."""
    while len(sent) < times:  # noqa: ASYNC110 - the server gives no sign
        await anyio.sleep(1)


@pytest.mark.parametrize("fault", REFUSALS)
async def test_one_refusal_ends_nothing_that_waits(tmp_path: Path, fault: str) -> None:
    """A key that was revoked for a minute: of three that wait one hears it, and all three are answered later."""
    async with kept(tmp_path, far(), simulated(["m"], faults=["reset@1-9", f"{fault}@10"]), works=False) as it:
        waiting = [await it.served.run(f"number {number}") for number in range(3)]
        async with it.forwarding():
            ended = [await it.end_of(each.id) for each in waiting]
        last = [entry.what for each in waiting for entry in (await it.forwarder.find(each.approval))[1][-1:]]
    assert [each["text"] for each in ended] == [f"number {number}" for number in range(3)]
    assert last == ["delivered"] * 3


@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_request_that_comes_while_its_server_refuses_is_kept(tmp_path: Path, fault: str) -> None:
    """The one that was refused, and the one that was not even sent, as the server is left alone for 15 s."""
    async with kept(tmp_path, far(), simulated(["m"], faults=[f"{fault}@1-2"])) as it:
        first, second = await it.served.run("one"), await it.served.run("two")
        assert [first.status, second.status] == ["waiting", "waiting"]
        away = (await it.forwarder.find(second.approval))[0].away
        assert "m@1 is not asked again for" in away and len(it.served.server.records) == 1
        assert [(await it.end_of(each.id))["text"] for each in (first, second)] == ["one", "two"]


async def test_a_refusal_that_lasts_ends_when_the_time_is_over(tmp_path: Path) -> None:
    """With what the server said, so that somebody can mend it."""
    async with kept(tmp_path, far(kept={"expires": 50.0}), simulated(["m"], faults=["unauthorized@*"])) as it:
        result = await it.served.run("explain it")
        await anyio.sleep(20)  # of virtual time: it is tried and refused again
        it.clock.now += 51
        it.forwarder.wake()
        error = (await it.end_of(result.id))["error"]
    assert error["code"] == "ORC544" and "Invalid API Key" in error["message"]


async def test_what_a_person_names_is_sent_though_its_server_asked_for_a_pause(tmp_path: Path) -> None:
    """Two hours, of which five minutes are believed: a person does not wait for those."""
    async with kept(tmp_path, far(), simulated(["m"], faults=["reset@1-3", "rate-limit:7200s@4"])) as it:
        first, second = await it.served.run("one"), await it.served.run("two")
        sent = it.served.server.records
        await was_asked(sent, 4)
        await anyio.sleep(10)
        assert len(sent) == 4
        assert await it.forwarder.retry("", second.approval) == 1
        with anyio.fail_after(60):
            assert [(await it.end_of(each.id))["text"] for each in (second, first)] == ["two", "one"]


async def test_the_list_says_when_each_is_tried(tmp_path: Path) -> None:
    """The head of the lane after the pause that is believed, and the others after it: none now, and none in two hours."""
    async with kept(tmp_path, far(), simulated(["m"], faults=["reset@1-6", "rate-limit:7200s@7"])) as it:
        first, second = await it.served.run("one"), await it.served.run("two")
        sent = it.served.server.records
        await was_asked(sent, 7)
        await anyio.sleep(20)
        younger, older = await it.forwarder.newest("", 10, closed=False)
        now, (shown, _) = it.clock(), await it.forwarder.find(second.approval)
        told = (await it.forwarder.trouble())["shop"]
        assert (older.behind, younger.behind, shown.behind) == ("", first.approval, first.approval)
        again = [each.again or 0.0 for each in (older, younger, shown)] + [told["again"]]
        assert all(250 < each - now <= 300 for each in again), again
        assert "Too many requests" in older.error
        with anyio.fail_after(400):
            assert [(await it.end_of(each.id))["text"] for each in (first, second)] == ["one", "two"]


async def test_what_nobody_serves_now_is_tried_at_no_time(tmp_path: Path) -> None:
    """It waits on, and the list does not say "now"."""
    async with kept(tmp_path, far(), simulated(["m"], faults=["reset@*"])) as it:
        await it.served.run("one")
        it.engines.remove("shop")
        (waiting,) = await it.forwarder.newest("", 10, closed=False)
        assert waiting.again is None and (await it.forwarder.trouble())["shop"]["again"] is None
