"""Killed with SIGKILL at every named point of apply and serve: what follows converges, and nothing is lost."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

import orchestrator.app.runtime
import orchestrator.plugins.stores.keeper
import orchestrator.plugins.stores.sqlite  # noqa: F401 - declares its failpoints
from orchestrator.app.client import RuntimeClient
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError, RuntimeUnavailable
from orchestrator.core.failpoint import FAILPOINTS
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.diff import diff
from tests.plan.parts import agent, blueprint, model, router, rule, tool
from tests.runtime.living import Home, eventually, free_port
from tests.servers.yard import Place, with_server

ON_RESTORE = [
    "activate.begun",
    "activate.endpoints-set",
    "activate.switched",
    "apply.planned",
    "execute.agent-made",
    "execute.model-bound",
    "execute.router-fitted",
    "execute.step-begun",
    "execute.step-done",
    "execute.tool-opened",
]
"""Points that a start passes as well, while it brings back what was applied."""


def _shop(say: str, port: int | None = None) -> Blueprint:
    stock = agent("stock", models=["phi-4-mini"], tools=["tickets"], reflex=[rule(say)], keywords=["stock"])
    hours = agent("hours", reflex=[rule("nine")], keywords=["open"])
    desk = router("desk", "stock", "hours", strategy="keyword")
    return blueprint(model(), tool("tickets"), stock, hours, desk, name="shop", port=port)


def _broken() -> Blueprint:
    python = {"name": "code", "kind": "python", "options": {"python": "nowhere:f"}, "allowed": [], "timeout": 1.0}
    return blueprint(python, agent("stock", tools=["code"], reflex=[rule("?")]), name="shop")


@dataclass
class Story:
    """Everything that may be asked of a runtime, once; it breaks off where the runtime dies.

    ``acknowledged`` are revisions whose apply was answered: they may never be lost.
    """

    client: RuntimeClient
    port: int
    acknowledged: list[tuple[str, int]] = field(default_factory=list)
    spare_goes: bool = False

    def tell(self) -> None:
        with suppress(RuntimeUnavailable):
            self._tell()

    def _tell(self) -> None:
        self._apply(_shop("one"))
        self._apply(blueprint(agent("a", reflex=[rule()]), name="spare"))
        self.client.run("shop", Request("do you have it in stock?"), lambda _: None)
        eventually(lambda: bool(self.client.recent_runs("shop")))
        self._apply(_shop("two", self.port))
        self._apply_broken()
        self.spare_goes = True
        self.client.down("spare")

    def _apply_broken(self) -> None:
        with pytest.raises(DeployError) as raised:
            self._apply(_broken())
        if isinstance(raised.value, RuntimeUnavailable):
            raise raised.value
        assert "nowhere" in raised.value.message

    def _apply(self, wanted: Blueprint) -> None:
        self.acknowledged.append((wanted.name, self.client.apply(Wanted(wanted))["revision"]))


def test_there_are_enough_points() -> None:
    """Twenty or more, over the store, the apply, the steps, the switch, the drain and the run."""
    assert len(FAILPOINTS) >= 20
    assert {name.partition(".")[0] for name in FAILPOINTS} >= {"store", "apply", "execute", "activate", "drain", "run"}


def _of_servers(point: str) -> bool:
    return point.startswith("server.")


def _of_people(point: str) -> bool:
    """These have a story of their own, in ``test_people.py`` and ``test_outbox.py``; those of what is spent, marked and
    let out in ``tests/policy/``, those between nodes in ``tests/fleet/test_forwarded_local.py``."""
    return point.startswith(("people.", "outbox.", "spending.", "marks.", "effects.", "leave."))


def _of_outcomes(point: str) -> bool:
    """So do these, in ``test_outcomes.py``."""
    return point.startswith("outcomes.")


_ELSEWHERE = (_of_servers, _of_people, _of_outcomes)


@pytest.mark.parametrize("point", sorted(p for p in FAILPOINTS if not any(of(p) for of in _ELSEWHERE)))
def test_killed_there_the_next_apply_converges(home: Home, point: str) -> None:
    """The second plan is empty, every revision that was acknowledged is still known, and no process is left."""
    story = Story(home.start(ORCHESTRATOR_FAIL_AT=point), free_port())
    story.tell()
    assert home.processes[-1].wait(5) == -signal.SIGKILL, f"{point} was never passed"
    client = home.start()
    _assert_converges(client, _shop("two", story.port))
    for name, number in story.acknowledged:
        assert number in [each["number"] for each in client.history(name)]
    known = [each["name"] for each in client.status()["deployments"]]
    assert ("spare" in known) or story.spare_goes or ("spare", 1) not in story.acknowledged
    assert home.stop() == 0
    assert home.left_over() == []


@pytest.mark.parametrize("point", ON_RESTORE)
def test_killed_while_it_restores_the_next_start_restores_all(home: Home, point: str) -> None:
    """A power cut during the start after a power cut."""
    client = home.start()
    client.apply(Wanted(_shop("one")))
    home.kill()
    home.start(ORCHESTRATOR_FAIL_AT=point)
    assert home.processes[-1].wait(5) == -signal.SIGKILL, f"{point} was never passed"
    client = home.start()
    assert client.run("shop", Request("in stock?")).text == "one"
    _assert_converges(client, _shop("one"))
    assert [each["number"] for each in client.history("shop")] == [1]
    assert home.stop() == 0
    assert home.left_over() == []


def _tell_of_servers(client: RuntimeClient, folder: Path) -> None:
    """A server is started, started again with other options, comes to rest, is started by a request, and ended."""
    with suppress(RuntimeUnavailable):
        client.apply(Wanted(with_server(folder, 1)))
        client.apply(Wanted(with_server(folder, 2)))
        client.apply(Wanted(with_server(folder, 2, keep_alive=0.0)))
        eventually(lambda: _states(client) == ["resting"])
        client.run("desk", Request("hello"))
        client.down("desk")


def _states(client: RuntimeClient) -> list[str]:
    return [server["state"] for each in client.status()["deployments"] for server in each["servers"]]


@pytest.mark.parametrize("point", sorted(filter(_of_servers, FAILPOINTS)))
def test_killed_there_no_server_is_lost_and_none_is_left(home: Home, tmp_path: Path, point: str) -> None:
    """The next apply leaves exactly one process, with the options that it wants, and a stop leaves none."""
    place = Place(tmp_path)
    program = place.program()
    place.model(children=1)
    path = f"{program.parent}:{os.environ['PATH']}"
    _tell_of_servers(home.start(ORCHESTRATOR_FAIL_AT=point, PATH=path), tmp_path)
    assert home.processes[-1].wait(5) == -signal.SIGKILL, f"{point} was never passed"
    client = home.start(PATH=path)
    wanted = with_server(tmp_path, 2)
    client.apply(Wanted(wanted))
    assert diff(wanted, client.observe(wanted)).empty
    assert client.run("desk", Request("hello")).text == "well"
    eventually(lambda: sorted("--threads 2" in _command(each) for each in home.servers()) == [False, True])
    assert client.run("desk", Request("hello")).text == "well"
    assert home.stop() == 0
    assert home.servers() == []


@pytest.mark.parametrize("point", ["resting", "spawned"])
def test_killed_while_it_rests_or_comes_back_the_next_start_has_it(home: Home, tmp_path: Path, point: str) -> None:
    """Without an apply: it is started as all are, answers, and rests again; no process is left of the life before."""
    place = Place(tmp_path)
    path = f"{place.program().parent}:{os.environ['PATH']}"
    place.model(children=1)
    client = home.start(PATH=path)
    client.apply(Wanted(with_server(tmp_path, 1, keep_alive=0.0)))
    if point == "spawned":
        eventually(lambda: _states(client) == ["resting"])
        home.kill()
        client = home.start(ORCHESTRATOR_FAIL_AT="server.spawned", PATH=path)
    else:
        home.kill()
        client = home.start(ORCHESTRATOR_FAIL_AT="server.resting", PATH=path)
    assert home.processes[-1].wait(10) == -signal.SIGKILL, f"{point} was never passed"
    client = home.start(PATH=path)
    eventually(lambda: _states(client) == ["resting"] and home.servers() == [])
    assert client.run("desk", Request("hello")).text == "well"
    assert home.stop() == 0
    assert home.servers() == []


@pytest.mark.parametrize("point", ["rotating", "rotated"])
def test_killed_while_one_comes_beside_another_the_next_start_has_only_the_old_one(
    home: Home, tmp_path: Path, point: str
) -> None:
    """Nothing was recorded: what was applied serves on, by the same process, and the other one is ended without an apply."""
    place = Place(tmp_path)
    path = f"{place.program().parent}:{os.environ['PATH']}"
    place.model()
    client = home.start(ORCHESTRATOR_FAIL_AT=f"server.{point}", PATH=path)
    client.apply(Wanted(with_server(tmp_path, 1)))
    (before,) = home.servers()
    with pytest.raises(RuntimeUnavailable):
        client.apply(Wanted(with_server(tmp_path, 2)))
    assert home.processes[-1].wait(5) == -signal.SIGKILL
    client = home.start(PATH=path)
    assert client.run("desk", Request("hello")).text == "well"
    eventually(lambda: [each.pid for each in home.servers()] == [before.pid])
    assert client.run("desk", Request("hello")).text == "well"
    assert home.stop() == 0
    assert home.servers() == []


def _command(process: psutil.Process) -> str:
    """Empty where it is just gone."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


@pytest.mark.parametrize("point", ["wanted", "recorded", "spawned", "noted", "ready"])
def test_killed_while_it_starts_servers_again_the_next_start_has_them(home: Home, tmp_path: Path, point: str) -> None:
    """A power cut during a start: one process, and the model answers without another apply."""
    place = Place(tmp_path)
    path = f"{place.program().parent}:{os.environ['PATH']}"
    place.model()
    home.start(PATH=path).apply(Wanted(with_server(tmp_path, 1)))
    assert home.stop() == 0
    assert home.servers() == []
    home.start(ORCHESTRATOR_FAIL_AT=f"server.{point}", PATH=path)
    assert home.processes[-1].wait(5) == -signal.SIGKILL, f"{point} was never passed"
    client = home.start(PATH=path)
    eventually(lambda: client.run("desk", Request("hello")).text == "well")
    assert len(home.servers()) == 1
    assert home.stop() == 0
    assert home.servers() == []


def _assert_converges(client: RuntimeClient, wanted: Blueprint) -> None:
    applied = client.apply(Wanted(wanted))
    assert diff(wanted, client.observe(wanted)).empty
    result = client.run(wanted.name, Request("do you have it in stock?"))
    assert (result.status, result.revision) == ("completed", applied["revision"])
    assert result.text == wanted.elements["agent.stock"].spec["reflex"][0]["say"]
