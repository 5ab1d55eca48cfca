"""What a request says of its own data: what is restricted reaches no cloud, whatever the manifest lists."""

from __future__ import annotations

import pytest

from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Script
from tests.serve.engine.parts import Wanted, agent_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio
CANARY = "patient 4711"


def both(*bound: str, cloud: tuple[str, ...] = ("m@2",)) -> Wanted:
    """An agent whose model is served at these endpoints."""
    return Wanted([agent_spec("a")], bound={"m": bound}, cloud=cloud)


async def test_a_restricted_request_stays_here_although_the_cloud_comes_first() -> None:
    """And an ordinary one goes where the manifest says."""
    here, cloud = simulated(["m"]), simulated(["m"])
    async with serving(both("m@2", "m@1"), here, cloud) as served:
        assert (await served.run("open", data_class="internal")).served_by.startswith("m@2")
        assert (await served.run(CANARY, data_class="restricted")).served_by.startswith("m@1")
    assert [record.asked.messages[-1]["content"] for record in cloud.records] == ["open"]


async def test_a_restricted_request_does_not_fall_back_on_the_cloud() -> None:
    """A server that fails here is no reason to send it away."""
    here, cloud = simulated(["m"], faults=["server-error@*"]), simulated(["m"])
    async with serving(both("m@1", "m@2"), here, cloud) as served:
        assert (await served.run(CANARY, data_class="restricted")).status == "failed"
        assert (await served.run("open")).status == "completed"
    assert [record.asked.messages[-1]["content"] for record in cloud.records] == ["open"]


async def test_an_agent_that_has_only_the_cloud_says_so() -> None:
    """With what to do."""
    cloud = simulated(["m"])
    async with serving(both("m@1", cloud=("m@1",)), cloud) as served:
        error = (await served.run(CANARY, data_class="restricted")).error
    assert error is not None and error["kind"] == "KeptNear"
    assert error["message"] == "agent.a has only models in the cloud, and this request is restricted"
    assert cloud.records == []


async def test_a_router_does_not_ask_the_cloud_about_a_restricted_request() -> None:
    """Its strategy goes without a model then."""
    cloud = simulated(["m"], Script(default='{"agent": "a"}'))
    router = router_spec("front", {"a": "never"}, strategy="intent", models=["m"], default="a", on_unsure="default")
    wanted = Wanted([router, agent_spec("a", models=[])], bound={"m": ("m@1",)}, cloud=("m@1",))
    async with serving(wanted, cloud) as served:
        await served.run(CANARY, data_class="restricted")
    assert cloud.records == []


async def test_what_was_said_restricted_does_not_reach_the_cloud_with_a_later_request_of_its_session() -> None:
    """Its session counts as restricted from then on, and says so; another one is as open as before."""
    here, cloud = simulated(["m"]), simulated(["m"])
    async with serving(both("m@2", "m@1"), here, cloud) as served:
        await served.run("before", session="anna")
        await served.run(CANARY, session="anna", data_class="restricted")
        after = await served.run("after", session="anna")
        await served.run("other", session="bert")
    assert after.served_by.startswith("m@1") and after.data_class == "restricted"
    assert after.notes == ('the session "anna" holds restricted requests, and so this one counts as one',)
    assert [record.asked.messages[-1]["content"] for record in cloud.records] == ["before", "other"]
    assert not any(CANARY in str(record.asked.messages) for record in cloud.records)
    assert CANARY in str(here.records[-1].asked.messages)


async def test_a_session_that_has_only_the_cloud_is_refused_once_it_is_restricted() -> None:
    """By a rule or a person it is still answered."""
    cloud = simulated(["m"])
    wanted = Wanted(
        [agent_spec("a", reflex=[rule("noted", when={"regex": "note"})])], bound={"m": ("m@1",)}, cloud=("m@1",)
    )
    async with serving(wanted, cloud) as served:
        assert (await served.run(f"note {CANARY}", session="anna", data_class="restricted")).text == "noted"
        after = await served.run("after", session="anna")
    assert after.error is not None and after.error["kind"] == "KeptNear" and len(after.notes) == 1
    assert cloud.records == []
