"""Servers of ours as the scheduler sees them: models that are in memory as long as a process runs, which others own."""

from __future__ import annotations

from typing import Any

from orchestrator.core.errors import ServerFailed
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.residence import UNBOUNDED, PoolLimits
from orchestrator.ports.lifecycle import Loaded
from orchestrator.serve.effect import Start
from tests.serve.scheduler.machine import Machine, pool, resident

HOURS = 7200.0


def process(name: str, memory: int = 6, **more: Any) -> EndpointSpec:
    """An endpoint at a server that may rest."""
    return resident(name, memory, process=True, whoever=True, **more)


def moves(machine: Machine) -> list[str]:
    return [line.strip() for line in machine.lines if line.startswith(("    load ", "    unload "))]


def test_one_rests_after_its_time_and_nobody_asks_it_whether_it_lives() -> None:
    """Whoever started it, an apply too; a probe would find nobody, and take it for dead. The next call has it started."""
    m = Machine(process("a", loaded="theirs", rest=300.0), pools={"device": PoolLimits(UNBOUNDED)})
    m.submit("a")
    m.finish(1)
    m.until(300)
    assert moves(m) == ["unload model-a: nothing was asked of it for 300 s"]
    m.unloaded("a")
    m.lines.clear()
    m.until(HOURS)
    assert (m.trace(probes=True), m.state("a")) == ("", "unloaded")
    m.submit("a")
    m.until(HOURS + 60)
    m.loaded("a", 60.0)
    assert m.lines == [
        *("7200 submit 2", "    a is loading", "    load model-a: 1 call waits for it"),
        *("7260 loaded a", "    a is ready", "    start 2 on a (first)"),
    ]


def test_one_that_works_never_rests() -> None:
    """Its rest begins when its last call has ended, however long that takes."""
    m = Machine(process("a", loaded="theirs", slots=2, rest=5.0), pools={"device": PoolLimits(UNBOUNDED)})
    m.submit("a", within=HOURS)
    m.submit("a", within=HOURS)
    m.until(100)
    m.finish(1)
    m.until(110)
    assert moves(m) == []
    m.finish(2)
    m.until(116)
    assert moves(m) == ["unload model-a: nothing was asked of it for 5 s"]


def test_one_that_no_deployment_has_any_more_is_not_ended_from_here() -> None:
    """Who owns the process ends it, or keeps it for a manifest that has it rest no more; so it is also after it was started by a
    call."""
    m = Machine(process("a", rest=300.0), pools=pool())
    m.submit("a")
    m.loaded("a", 5.0)
    m.finish(1)
    m.replace(pools=pool())
    m.until(HOURS)
    assert moves(m) == ["load model-a: 1 call waits for it"]


def test_calls_go_where_it_listens_now() -> None:
    """Somebody took its port while it rested; and back again the next time."""
    m = Machine(process("a"), pools=pool())
    m.submit("a")
    for base in ("http://a:2/v1", "http://a/v1"):
        (start,) = [
            each
            for each in m.scheduler.on_loaded("model-a", Loaded(1.0, api_base=base), m.now)
            if isinstance(each, Start)
        ]
        assert (start.target.api_base, start.target.model) == (base, "m")
        m.finish(start.call)
        m.scheduler.on_seen({"model-a": False}, m.now + 1, m.now + 1)
        m.now += 2
        m.submit("a")


def test_one_whose_end_is_refused_stays() -> None:
    """It is tried again in a while, and serves meanwhile."""
    m = Machine(process("a", loaded="theirs", rest=10.0), pools=pool())
    m.until(10)
    m.unloaded("a", ServerFailed("its server waits for its model, and is not ended before that has come"))
    m.until(39)
    m.submit("a")
    m.finish(1)
    m.until(49)
    assert moves(m) == ["unload model-a: nothing was asked of it for 10 s"] * 2


def test_one_that_rests_makes_room_for_models_and_they_for_it() -> None:
    """Its memory is theirs while nobody needs it."""
    m = Machine(process("a", 6, loaded="theirs", rest=HOURS), resident("b", 6), pools=pool(10))
    m.submit("b")
    m.unloaded("a")
    m.loaded("b")
    m.finish(1)
    m.submit("a")
    m.unloaded("b")
    m.loaded("a")
    assert moves(m) == [
        *("unload model-a: makes room for model-b: nothing waits for it", "load model-b: 1 call waits for it"),
        *("unload model-b: makes room for model-a: nothing waits for it", "load model-a: 1 call waits for it"),
    ]
