"""Servers that rest and do not come back as they should: killed, broken, with their port taken."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import replace

import anyio
import pytest

from orchestrator.app.wiring import InProcess
from tests.servers.test_resting import READY, apply, ask, endpoints, resting, rests, two_of_them
from tests.servers.test_rotation import processes
from tests.servers.yard import Place, looked, until

pytestmark = pytest.mark.anyio


async def test_a_start_that_fails_ends_as_that_of_any_server(opened: tuple[Place, InProcess]) -> None:
    """Who waits for it has its last words; it is given up, what can answer without it does, and an apply tries it again."""
    place, made = opened
    place.model("desk.gguf")
    await apply(made, resting(place))
    await until(rests(made))
    place.model("desk.gguf", exit=0)
    failed = await ask(made)
    assert failed.error is not None and failed.error["kind"] == "ServerFailed"
    why = "given up after 3 tries: exit code 3: error: cannot allocate 9 GB for the model; it rests for 15 min"
    assert failed.error["message"] == f"its server does not start: {why}"
    assert processes(made) == [("tiny", "failed", "")]
    assert (await ask(made)).text == "alone"
    assert len(place.starts("desk.starts")) == 4
    place.model("desk.gguf")
    await apply(made, resting(place))
    assert (await ask(made)).text == "well"
    await until(rests(made))


async def test_a_call_that_has_another_model_goes_there_when_the_start_fails(opened: tuple[Place, InProcess]) -> None:
    """After the first try; the server goes on trying, and is told as one that crashed."""
    place, made = opened
    place.model("one.gguf")
    place.model("two.gguf")
    wanted = two_of_them(place, 0.3)
    one = wanted.elements["model.one"]
    one = replace(one, spec={**one.spec, "fallback": ["two"]})
    await apply(made, replace(wanted, elements={**wanted.elements, "model.one": one}))
    await until(lambda: {state for _, state, _ in processes(made)} == {"resting"})
    place.model("one.gguf", exit=0)
    result = await ask(made, agent="clerk-one")
    assert (result.text, result.served_by.endswith("/two")) == ("well", True)
    assert processes(made)[0][1] in ("waiting", "starting") and len(place.starts("one.starts")) == 2


async def test_one_that_is_killed_while_it_comes_back_is_started_once_more(opened: tuple[Place, InProcess]) -> None:
    """The request that waits for it waits for the next try, and is answered."""
    place, made = opened
    place.model("desk.gguf", loading=0.5)
    await apply(made, resting(place, 2.0))
    await until(rests(made))

    async def kill() -> None:
        await until(lambda: len(place.starts("desk.starts")) == 2)
        os.kill(int(place.starts("desk.starts")[1].split()[0]), signal.SIGKILL)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kill)
        result = await ask(made)
    assert result.text == "well"
    assert len(place.starts("desk.starts")) == 3


async def test_one_whose_port_is_taken_while_it_rests_comes_back_at_another(opened: tuple[Place, InProcess]) -> None:
    """The request goes there, and so do those after it; nobody is asked who took the port."""
    place, made = opened
    place.model("desk.gguf", loading=0.3)
    await apply(made, resting(place, 1.0))
    await until(rests(made))
    port = int(place.starts("desk.starts")[0].split()[1])
    with socket.create_server(("127.0.0.1", port)):
        assert (await ask(made)).text == "well"
        await looked(made)
        assert (await ask(made)).text == "well"
        assert processes(made) == READY
        (endpoint,) = endpoints(made)
        other = int(place.starts("desk.starts")[1].split()[1])
        assert other != port and f":{other}/" in endpoint.target.api_base
        await until(rests(made))
        assert (await ask(made)).text == "well"
