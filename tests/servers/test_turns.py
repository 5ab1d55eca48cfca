"""Servers of ours that do not fit together, as real processes: they take turns, and never are there more than fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.app.wiring import InProcess, Plugins
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.request import Request, Result
from orchestrator.deploy.starting import Starting
from orchestrator.deploy.status import status
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.plan import Plan
from tests.plan.parts import agent, blueprint, model
from tests.servers.conftest import desk
from tests.servers.yard import Nobody, Place, looked, until

pytestmark = pytest.mark.anyio

ONE = 700_000_000
"""Room for one server of the fake program (613 MB) beside the orchestrator, and not for two."""


def several(place: Place, *aliases: str, limit: int = ONE, name: str = "desk", **changes: Any) -> Blueprint:
    """A deployment of these models, each with a server of its own, and a clerk for each."""
    specs = []
    for alias in aliases:
        (element,) = desk(place, alias, context_length=1024).of_kind("model")
        specs.append(model(alias, provider="llama-cpp", ids={"*": [alias]}, server=element.spec["server"], **changes))
    clerks = [agent(f"clerk-{alias}", models=[alias]) for alias in aliases]
    made = blueprint(*specs, *clerks, name=name, entry=f"agent.clerk-{aliases[0]}")
    return replace(made, resources={"max_memory_usage": limit})


async def apply(made: InProcess, wanted: Blueprint) -> Plan:
    return (await made.planes.reconciler.apply(Wanted(wanted), lambda _: None)).plan


async def ask(made: InProcess, alias: str, deployment: str = "desk", **options: Any) -> Result:
    return await made.planes.engines.get(deployment).run(Request("hello", agent=f"clerk-{alias}", **options))


def states(made: InProcess) -> dict[str, str]:
    """Of each server, by its alias."""
    started = made.planes.reconciler.starting.observed()
    return {name.partition("/")[2]: each.state for name, each in started.items()}


@asynccontextmanager
async def counting(place: Place) -> AsyncIterator[list[int]]:
    """How many processes of servers there are, at every moment."""
    seen: list[int] = []

    async def count() -> None:
        while True:
            seen.append(len(place.processes()))
            await anyio.sleep(0.1)  # between two looks at the processes

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        yield seen
        tasks.cancel_scope.cancel()


async def test_each_shows_a_token_and_a_request_for_the_one_at_rest_has_the_other_make_room(
    opened: tuple[Place, InProcess],
) -> None:
    """The first that is named stays; whoever waits says how long; a second apply changes nothing."""
    place, made = opened
    place.model("one.gguf", loading=0.2)
    place.model("two.gguf", loading=0.2)
    async with counting(place) as seen:
        plan = await apply(made, several(place, "one", "two"))
        assert [each for each in plan.notes if "takes turns" in each] == [
            f"{one}: takes turns with {two}: 613 MB + 613 MB of 620 MB (max_memory_usage 700 MB, less 80.0 MB for the "
            "orchestrator): a request may wait while its server is started"
            for one, two in (("one", "two"), ("two", "one"))
        ]
        assert states(made) == {"one": "ready", "two": "resting"}
        assert (await apply(made, several(place, "one", "two"))).empty
        await looked(made)
        assert states(made) == {"one": "ready", "two": "resting"}
        result = await ask(made, "two")
        (call,) = [step for step in result.steps if step.kind == "model"]
        assert (result.text, call.detail["load_ms"] > 150) == ("well", True)
        assert states(made) == {"one": "resting", "two": "ready"}
        assert (await ask(made, "one")).text == "well"
    assert max(seen) == 1
    assert [len(place.starts(f"{name}.starts")) for name in ("one", "two")] == [2, 2]
    (told,) = [each for each in status(made.planes.reconciler) if each["name"] == "desk"]
    assert (told["state"], told["waits"]) == ("running", [])


async def test_one_that_works_is_never_ended_for_another(opened: tuple[Place, InProcess]) -> None:
    """Who asks for the one at rest waits for the request in work, the end and the start; nothing fails over."""
    place, made = opened
    place.model("one.gguf", takes=1.0)
    place.model("two.gguf")
    await apply(made, several(place, "one", "two"))
    served: list[str] = []

    async def call(alias: str, after: float) -> None:
        await anyio.sleep(after)  # real processes: calls come one after the other, as callers do
        result = await ask(made, alias)
        assert result.text == "well", result.error
        served.append(alias)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, "one", 0.0)
        tasks.start_soon(call, "two", 0.3)
    assert served == ["one", "two"]
    assert [len(place.starts(f"{name}.starts")) for name in ("one", "two")] == [1, 2]


async def test_requests_for_three_in_turn_are_all_answered(opened: tuple[Place, InProcess]) -> None:
    """Memory for one, twelve requests that come at once: each server is started at most once more for them."""
    place, made = opened
    aliases = ("one", "two", "three")
    for alias in aliases:
        place.model(f"{alias}.gguf")
    async with counting(place) as seen:
        await apply(made, several(place, *aliases))
        assert states(made) == {"one": "ready", "two": "resting", "three": "resting"}
        before = sum(len(place.starts(f"{alias}.starts")) for alias in aliases)
        texts: list[str] = []

        async def call(alias: str) -> None:
            texts.append((await ask(made, alias)).text)

        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(call, aliases[number % 3])
    assert (texts, before) == (["well"] * 12, 3)
    assert sum(len(place.starts(f"{alias}.starts")) for alias in aliases) - before <= 3
    assert max(seen) == 1


async def test_one_that_is_pinned_stays_and_the_others_take_turns_beside_it(opened: tuple[Place, InProcess]) -> None:
    """It counts as held, also where it is named last; none but the two others is ever ended."""
    place, made = opened
    for alias in ("one", "two", "three"):
        place.model(f"{alias}.gguf")
    wanted = several(place, "one", "two", "three", limit=2 * ONE)
    three = wanted.elements["model.three"]
    three = replace(three, spec={**three.spec, "pinned": True})
    async with counting(place) as seen:
        await apply(made, replace(wanted, elements={**wanted.elements, "model.three": three}))
        assert states(made) == {"one": "ready", "two": "resting", "three": "ready"}
        for alias in ("two", "three", "one"):
            assert (await ask(made, alias)).text == "well"
    assert states(made) == {"one": "ready", "two": "resting", "three": "ready"}
    assert (len(place.starts("three.starts")), max(seen)) == (1, 2)


async def test_another_one_in_the_manifest_is_shown_while_the_first_serves(opened: tuple[Place, InProcess]) -> None:
    """It fitted alone and stayed; with a second one both take turns from the apply on, and without it it stays again."""
    place, made = opened
    place.model("one.gguf")
    place.model("two.gguf")
    async with counting(place) as seen:
        await apply(made, several(place, "one"))
        assert (await ask(made, "one")).text == "well"
        await apply(made, several(place, "one", "two"))
        assert sorted(states(made).values()) == ["ready", "resting"]
        assert [(await ask(made, alias)).text for alias in ("one", "two", "one")] == ["well"] * 3
        await apply(made, several(place, "one"))
        await until(lambda: states(made) == {"one": "ready"})
    assert max(seen) == 1


async def test_one_that_is_killed_in_its_turn_comes_back_when_it_is_needed(opened: tuple[Place, InProcess]) -> None:
    """It lost its turn: what waits for others goes on, and the next request for it starts it, after its pause."""
    place, made = opened
    place.model("one.gguf")
    place.model("two.gguf")
    async with counting(place) as seen:
        await apply(made, several(place, "one", "two"))
        (process,) = place.processes()
        process.kill()
        await until(lambda: states(made) == {"one": "resting", "two": "resting"})
        assert (await ask(made, "two")).text == "well"
        assert (await ask(made, "one")).text == "well"
    assert states(made) == {"one": "ready", "two": "resting"}
    assert max(seen) == 1


async def test_one_that_cannot_start_keeps_no_other_from_its_turn(opened: tuple[Place, InProcess]) -> None:
    """It is given up as any server, and the other one goes on."""
    place, made = opened
    place.model("one.gguf", exit=0)
    place.model("two.gguf")
    await apply(made, several(place, "one", "two"))
    await until(lambda: states(made)["one"] == "failed")
    assert (await ask(made, "two")).text == "well"
    assert (await ask(made, "one")).error is not None
    assert (await ask(made, "two")).text == "well"


async def test_down_in_the_middle_of_a_swap_leaves_nothing(opened: tuple[Place, InProcess]) -> None:
    """While the one that comes loads its model."""
    place, made = opened
    place.model("one.gguf")
    place.model("two.gguf", loading=1.0)
    await apply(made, several(place, "one", "two"))

    async def call() -> None:
        await ask(made, "two", timeout=5.0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await until(lambda: states(made)["two"] == "starting")
        await made.planes.reconciler.down("desk", 0.1, lambda _: None)
        tasks.cancel_scope.cancel()
    assert made.planes.reconciler.starting.observed() == {}
    assert place.processes() == []


async def test_an_apply_in_the_middle_of_a_swap_changes_nothing_of_it(opened: tuple[Place, InProcess]) -> None:
    """The same manifest again: the request is answered all the same."""
    place, made = opened
    place.model("one.gguf")
    place.model("two.gguf", loading=0.5)
    await apply(made, several(place, "one", "two"))
    texts: list[str] = []

    async def call() -> None:
        texts.append((await ask(made, "two")).text)

    async with counting(place) as seen, anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await until(lambda: states(made)["two"] == "starting")
        assert (await apply(made, several(place, "one", "two"))).empty
    assert (texts, states(made), max(seen)) == (["well"], {"one": "resting", "two": "ready"}, 1)


async def test_two_deployments_take_turns_by_leave_of_the_first(opened: tuple[Place, InProcess]) -> None:
    """Its model has `keep_alive`: its server makes room for that of the second, and comes back for its next request."""
    place, made = opened
    place.model("one.gguf")
    place.model("two.gguf")
    async with counting(place) as seen:
        await apply(made, several(place, "one", name="first", keep_alive=3600.0))
        plan = await apply(made, several(place, "two", name="second"))
        assert any("two: takes turns with first/one: 613 MB + 613 MB" in each for each in plan.notes)
        for deployment, alias in (("second", "two"), ("first", "one"), ("second", "two")):
            assert (await ask(made, alias, deployment)).text == "well"
        await made.planes.reconciler.down("first", 1.0, lambda _: None)
        await looked(made)
        assert states(made) == {"two": "ready"}
    assert max(seen) == 1


async def test_another_deployment_that_calls_one_waits_for_its_turn(opened: tuple[Place, InProcess]) -> None:
    """It found the server, and its calls wait in the same queue; the servers go on to take turns."""
    place, made = opened
    place.model("one.gguf")
    place.model("two.gguf")
    guest = blueprint(
        model("two", provider="llama-cpp", ids={"*": ["two"]}), agent("clerk-two", models=["two"]), name="guest"
    )
    async with counting(place) as seen:
        await apply(made, several(place, "one", "two"))
        assert (await ask(made, "two")).text == "well"
        await apply(made, guest)
        for alias, deployment in (("one", "desk"), ("two", "guest"), ("one", "desk")):
            assert (await ask(made, alias, deployment)).text == "well"
            await looked(made)
    assert max(seen) == 1
    assert states(made) == {"one": "ready", "two": "resting"}


@pytest.mark.parametrize("unreadable", [True, False])
async def test_one_that_is_kept_though_nobody_can_read_its_manifest_keeps_no_turns(
    tmp_path: Path, unreadable: bool
) -> None:
    """Those that took turns with it would go on for good, and only ever become more; else they do until it has gone."""
    place = Place(tmp_path)
    place.program()
    for alias in ("one", "two", "other"):
        place.model(f"{alias}.gguf")
    gone, other = several(place, "one", "two", name="gone"), several(place, "other", name="other")
    plugins = Plugins()
    starting = Starting(place.yard(plugins), lambda _: None, lambda _: None, lambda: None, Nobody())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(starting.servers.run)
        await starting.restore([gone, other])
        await starting.look([gone, other])
        starting.servers.want(place.want("gone/one", "one.gguf"))
        starting.pass_on(())
        assert starting.turning() == {"gone/one", "gone/two"}
        await starting.look([other])
        starting.keep_only([gone, other], ["gone"] if unreadable else [])
        starting.pass_on(())
        assert bool(starting.turning()) is not unreadable
        await starting.servers.close()
        tasks.cancel_scope.cancel()
    await plugins.aclose()
    assert place.processes() == []
