"""A server of ours that exited and is in its pause before it is started again: who has nobody else waits, who has does not."""

from __future__ import annotations

from math import inf

import anyio
import pytest

from orchestrator.app.wiring import InProcess
from orchestrator.core.request import Request
from orchestrator.deploy.resting import ProcessLoader
from orchestrator.deploy.wanted import Wanted
from orchestrator.ports.lifecycle import LoadOptions
from orchestrator.ports.provider import Target
from tests.servers.conftest import desk
from tests.servers.test_turns import apply, ask, several, states
from tests.servers.yard import Place, looked, until

pytestmark = pytest.mark.anyio


async def kill(place: Place, made: InProcess, alias: str = "one") -> None:
    """Its process, and wait for the look that sees it."""
    (process,) = place.processes()
    process.kill()
    await until(lambda: states(made)[alias] in ("waiting", "resting"))
    await looked(made)


async def test_a_new_request_waits_for_one_that_exited(opened: tuple[Place, InProcess]) -> None:
    """Also after the look that finds it gone; what serves is the same revision, and status says what is waited for."""
    place, made = opened
    place.model("one.gguf")
    await apply(made, several(place, "one", limit=4_000_000_000))
    parts = made.planes.reconciler.table.observed()["desk"].parts
    await kill(place, made)
    assert states(made) == {"one": "waiting"}
    assert made.planes.reconciler.table.observed()["desk"].parts == parts
    result = await ask(made, "one")
    assert result.text == "well", result.error
    assert result.timings["total"] > 200


async def test_an_agent_that_can_do_without_it_does_at_once(opened: tuple[Place, InProcess]) -> None:
    """By its rule, as long as the server is not there again."""
    place, made = opened
    place.model("desk.gguf")
    await made.planes.reconciler.apply(Wanted(desk(place, "desk")), lambda _: None)
    await kill(place, made, "tiny")
    result = await made.planes.engines.get("desk").run(Request("hello"))
    assert (result.text, result.served_by) == ("alone", "reflex")
    assert result.timings["total"] < 700
    await until(lambda: states(made) == {"tiny": "ready"})
    await looked(made)
    assert (await made.planes.engines.get("desk").run(Request("hello"))).text == "well"


async def test_one_that_is_given_up_is_waited_for_no_more(opened: tuple[Place, InProcess]) -> None:
    """Then a request is told so at once."""
    place, made = opened
    place.model("one.gguf")
    await apply(made, several(place, "one", limit=4_000_000_000))
    place.model("one.gguf", exit=0)
    (process,) = place.processes()
    process.kill()
    await until(lambda: states(made) == {"one": "failed"}, 20)
    await looked(made)
    result = await ask(made, "one")
    assert result.error is not None and "given up" in result.error["message"] + str(result.error["cure"])
    assert result.timings["total"] < 700


async def test_new_requests_wait_for_one_whose_start_in_its_turn_failed(opened: tuple[Place, InProcess]) -> None:
    """As the one does for which it was started."""
    place, made = opened
    place.model("one.gguf")
    place.model("two.gguf", loading=0.1)
    await apply(made, several(place, "one", "two"))
    place.model("two.gguf", loading=5)
    texts: list[str] = []

    async def call() -> None:
        result = await ask(made, "two")
        texts.append(result.text or str(result.error))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await until(lambda: states(made)["two"] == "starting" and len(place.processes()) == 1)
        place.model("two.gguf")
        await kill(place, made, "two")
        for _ in range(3):
            tasks.start_soon(call)
    assert texts == ["well"] * 4


async def test_the_pause_after_an_exit_is_no_part_of_a_load(opened: tuple[Place, InProcess]) -> None:
    """What a load takes is measured from its start on: else one with little time would be refused for a crash that is over."""
    place, made = opened
    place.model("one.gguf")
    place.model("two.gguf")
    await apply(made, several(place, "one", "two"))
    await kill(place, made)
    servers = made.planes.reconciler.starting.servers
    began = anyio.current_time()
    target = Target("llama-cpp", "http://127.0.0.1:1/v1", "one")
    loaded = await ProcessLoader(servers, "desk/one").load(target, LoadOptions(), inf)
    assert anyio.current_time() - began - loaded.seconds > 0.2
