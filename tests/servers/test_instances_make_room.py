"""Additional processes of a server, as real processes: they make room for the only one of another model."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from orchestrator.app.wiring import InProcess
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.request import Request
from orchestrator.deploy.demand import Demand
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.plan import Plan
from tests.plan.parts import agent, blueprint, model, rule
from tests.servers.conftest import desk
from tests.servers.test_in_its_place import counted, servers
from tests.servers.test_instances import QUICK, TOGETHER, Callers
from tests.servers.yard import Place, looked, until

pytestmark = pytest.mark.anyio

TWO = {"max_memory_usage": 1_320_000_000}
"""Room for two servers of the fake program (613 MB each) beside the orchestrator, and not for three."""


def of(place: Place, *aliases: str, most: int = 1, name: str = "desk") -> Blueprint:
    """A deployment of these models, each with a server; of the first ``most`` processes may run."""
    specs = []
    for alias in aliases:
        (element,) = desk(place, alias, context_length=1024).of_kind("model")
        server = element.spec["server"] | {"max_instances": most if alias == aliases[0] else 1}
        specs.append(model(alias, provider="llama-cpp", ids={"*": [alias]}, server=server))
    clerks = [agent(f"clerk-{alias}", models=[alias], reflex=[rule("alone")]) for alias in aliases]
    return replace(blueprint(*specs, *clerks, name=name), resources=TWO)


async def apply(made: InProcess, wanted: Blueprint) -> Plan:
    return (await made.planes.reconciler.apply(Wanted(wanted), lambda _: None)).plan


@pytest.mark.parametrize("name", ["desk", "shop"])
async def test_an_additional_process_makes_room_for_the_only_one_of_another_model(
    opened: tuple[Place, InProcess], name: str
) -> None:
    """Of its own deployment and of another one, while it is busy: never are three there, and it does not grow again."""
    place, made = opened
    made.planes.reconciler.starting.demand = Demand(QUICK)
    place.model("tiny.gguf", takes=0.05)
    place.model("late.gguf")
    await apply(made, of(place, "tiny", most=3))
    callers = Callers(made)
    async with anyio.create_task_group() as tasks, counted(place) as found:
        for _ in range(TOGETHER):
            tasks.start_soon(callers.ask)
        await until(lambda: servers(made) == [("tiny", "ready"), ("tiny#2", "ready")], 20)
        wanted = of(place, "tiny", "late", most=3) if name == "desk" else of(place, "late", name="shop")
        plan = await apply(made, wanted)
        assert ("late", "ready") in servers(made, name)
        for _ in range(5):
            await looked(made)
        callers.stopped = True
    assert max(found) == 2
    text = "\n".join([*map(str, plan.steps), *plan.notes])
    if name == "desk":
        assert "- server.tiny: end tiny#2 first: both do not fit, late needs 613 MB" in text
    else:
        assert "late: its server is started once desk/tiny#2 has ended: both do not fit, late needs 613 MB" in text
    assert len(place.starts("tiny.starts")) == 2 and len(place.starts("late.starts")) == 1
    assert {line.split()[0] for line in callers.served} == {"well"}
    said = await made.planes.engines.get(name).run(Request("hello", agent="clerk-late"))
    assert said.text == "well"
    assert (await apply(made, wanted)).empty
