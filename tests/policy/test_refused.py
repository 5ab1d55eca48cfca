"""What a person refused, told to an agent in the cloud or on another node: it leaves no more than the rest of the run does, and
nobody takes over from a leave that was refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.handed import Handed
from orchestrator.core.request import Result
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.script import Rule, Script
from tests.people.parts import desked
from tests.policy.test_learned import Asking as Leaving
from tests.policy.test_learned import Hiding, sent
from tests.policy.test_leave import Asking
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, model_spec, serving
from tests.serve.engine.test_elsewhere import Link, elsewhere

pytestmark = pytest.mark.anyio
WISH = {"patient": "Canella, Eva", "tax_code": "CANTAX99", "smokes": "yes"}
NO = "never: Canella, Eva (CANTAX99) is no patient of ours"
LONG = {"before": "x" * 1_500, **WISH, "after": "y" * 1_500}
"""What of it is told leaves the fields out that say what the values are."""
ANY = {"type": "object", "properties": {name: {"type": "string"} for name in LONG}}
GATE: dict[str, Any] = {"escalate_to": "up", "escalate_when": ["abstains"], "gate": {"abstains": {}}}


def near(wish: Mapping[str, str] = WISH) -> SimulatedEndpoint:
    """It wants a letter written, and knows nothing else."""
    return simulated(["m"], Script([Rule("write", say="UNKNOWN", calls=(("db_write", wish),))]))


def far(wish: Mapping[str, str] = WISH) -> SimulatedEndpoint:
    """The model in the cloud, which wants the same."""
    return simulated(["m"], Script([Rule("write", say="done: {result}", calls=(("db_write", wish),))]))


def wanted(kind: type[Hiding] = Hiding, tool: FakeTool | None = None) -> Wanted:
    """An agent nearby that goes up to one in the cloud, both with the same tool."""
    parts = [agent_spec("a", tools=["db"], **GATE), agent_spec("up", role="escalation", models=["big"], tools=["db"])]
    models, bound = {"m": model_spec(), "big": model_spec("big")}, {"m": ("m@1",), "big": ("m@2",)}
    return kind(parts, [tool or letters()], models=models, bound=bound, cloud=["m@2"])


def letters() -> FakeTool:
    return FakeTool("db", {"write": "written"}, ANY, approval="always")


def leaked(texts: list[str]) -> list[str]:
    """Hidden values in what was sent."""
    return [each for each in ("Canella", "Eva", "CANTAX99", "yes") for text in texts if each in text]


@pytest.mark.parametrize("wish", [WISH, LONG], ids=["short", "long"])
async def test_the_cloud_is_told_of_the_no_without_hidden_values(tmp_path: Path, wish: Mapping[str, str]) -> None:
    """Neither those of the refused arguments nor those that the person repeats."""
    async with desked(tmp_path, wanted(), near(wish), far(wish)) as it:
        found = await it.after(await it.served.run("write"), "deny", NO)
        told = sent(it.served.servers[1])
    assert found["status"] == "completed" and len(told) == 2
    assert leaked(told) == []
    assert "ana refused db.write(" in told[0] and "never: [PATIENT_1] ([TAX_CODE_1]) is no patient of ours" in told[0]


async def test_a_leave_is_bound_to_what_is_told_of_the_no(tmp_path: Path) -> None:
    """The person who lets it go out is told too; after a restart the same words go out."""
    async with desked(tmp_path, wanted(Leaving), near(), far()) as it:
        found = await it.after(await it.served.run("write"), "deny", NO)
        asked = await it.desk.find(found["approval"])
        assert asked.call is not None and asked.call.function == "cloud.send"
        assert "before, in this run, ana refused db.write(" in asked.why
        assert leaked([json.dumps(dict(asked.call.arguments))]) == []
    async with desked(tmp_path, wanted(Leaving), near(), far()) as it:
        ended = await it.after(Result.from_json(found), "approve")
        told = sent(it.served.servers[1])
    assert ended["text"].startswith("done: error: ana refused db.write with these arguments before, in this run")
    assert len(told) == 2 and leaked(told) == []


async def test_nobody_takes_over_where_a_leave_is_refused(tmp_path: Path) -> None:
    """Whatever the agent escalates on."""
    up = agent_spec("b", role="escalation", models=["n"])
    first = agent_spec("a", escalate_to="b", escalate_when=["error", "timeout", "overloaded", "tool_failed"])
    models, bound = {"m": model_spec(), "n": model_spec("n")}, {"m": ("m@1",), "n": ("m@2",)}
    async with desked(
        tmp_path, Asking([first, up], models=models, bound=bound, cloud=["m@1"]), simulated(["m"]), simulated(["m"])
    ) as it:
        found = await it.after(await it.served.run("hello"), "deny", "not this one")
        assert [each.records for each in it.served.servers] == [[], []]
    assert (found["error"]["code"], found["path"]) == ("ORC540", ["agent.a"])


class Written(Link):
    """The other node, told of the hand-over as it is over the wire."""

    async def answer(self, request: Any, say: Any, key: str = "", handed: Handed = Handed()) -> Result:  # noqa: B008 - it is never changed
        told: Mapping[str, Any] = json.loads(json.dumps(handed.as_json()))
        return await super().answer(request, say, key, Handed.from_json(told))


@pytest.mark.parametrize("wish", [WISH, LONG], ids=["short", "long"])
async def test_an_agent_of_another_node_is_told_and_asks_nobody_again(tmp_path: Path, wish: Mapping[str, str]) -> None:
    """There too the same call is refused at once, and its cloud gets no hidden value."""
    here, there = wanted(), wanted()
    here.parts = [here.parts[0], elsewhere("up", role="escalation")]
    there.parts = [elsewhere("a"), there.parts[1]]
    async with (
        serving(there, near(wish), far(wish)) as holder,
        desked(tmp_path, here, near(wish), far(wish)) as it,
    ):
        link = it.served.engine.elsewhere = Written("edge-1", holder, "edge-2")
        found = await it.after(await it.served.run("write"), "deny", NO)
        told = sent(holder.servers[1])
    assert found["text"].startswith("done: error: ana refused db.write with these arguments before, in this run")
    assert [each.words for each in link.handed[0].denials] == [NO]
    assert len(told) == 2 and leaked(told) == [] and "ana refused db.write(" in told[0]
