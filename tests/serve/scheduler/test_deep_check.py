"""One token now and then shows that an idle server works, where its probes would say so even if it hung."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from orchestrator.core.errors import (
    BadRequest,
    BrokenReply,
    ModelError,
    ModelNotFound,
    RateLimited,
    Refused,
    ServerBusy,
    ServerFailed,
    Stalled,
)
from orchestrator.core.event import Event
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.health import HealthRules
from orchestrator.deploy.rules import EndpointRules
from orchestrator.ports.provider import Capability, Support, Zone
from orchestrator.serve.loop import Loop
from orchestrator.serve.scheduler_limits import SchedulerLimits
from tests.serve.scheduler.fakes import Say, ScriptedProvider, endpoint
from tests.serve.scheduler.machine import Machine, resident, spec

LOADS_NOTHING = {Capability.LOAD: Support.NO}


def single(name: str = "a", slots: int = 1, zone: Zone = "node") -> EndpointSpec:
    """An endpoint of a server that has its one model loaded and cannot do otherwise."""
    return replace(spec(name, slots, zone), capabilities=LOADS_NOTHING)


def machine(*specs: EndpointSpec, limits: SchedulerLimits | None = None) -> Machine:
    """Everything is seen to be loaded."""
    m = Machine(*(specs or (single(),)), limits=limits)
    for each in specs or (single(),):
        m.seen(each.id, loaded=True)
    return m


def checks(m: Machine) -> list[float]:
    """When a check went out."""
    marks = [line for line in m.lines if not line.startswith("    ") or line.strip().startswith("check ")]
    return [float(marks[number - 1].split()[0]) for number, line in enumerate(marks) if line.startswith("    ")]


def test_an_idle_server_is_asked_for_a_token_every_five_minutes() -> None:
    """The first time five minutes after it came."""
    m = machine()
    for _ in range(3):
        m.until(m.now + 300)
        m.checked("a")
    assert checks(m) == [300, 600, 900]
    assert m.state("a") == "live"


def test_traffic_that_went_well_is_the_better_check() -> None:
    """None goes out within five minutes of a good call, and none while calls run."""
    m = machine()
    m.until(200)
    m.finish(m.submit("a"))
    call = m.submit("a", within=2000.0)
    m.until(600)
    assert checks(m) == []
    m.finish(call)
    m.until(1000)
    assert checks(m) == [900]


@pytest.mark.parametrize(
    "kept",
    [
        spec("a"),
        replace(spec("a"), capabilities={Capability.LOAD: Support.YES}),
        replace(resident("a", loaded=True), capabilities=LOADS_NOTHING),
        single(zone="cloud"),
    ],
    ids=["unknown", "loads on request", "shares a memory", "cloud"],
)
def test_whom_a_check_might_cost_something_is_never_checked(kept: EndpointSpec) -> None:
    """A model might be loaded for it, or kept from its rest; in the cloud it costs money."""
    m = machine(kept)
    m.until(3000)
    assert checks(m) == []


@pytest.mark.parametrize("loaded", [False, None])
def test_a_model_that_is_not_seen_in_memory_is_not_checked(loaded: bool | None) -> None:
    """Neither where its server does not tell."""
    m = Machine(single())
    if loaded is not None:
        m.seen("a", loaded=loaded)
    m.until(3000)
    assert checks(m) == []


def test_on_battery_nothing_is_checked() -> None:
    """Back on mains, it is."""
    m = machine()
    m.power(saving=True)
    m.until(1000)
    assert checks(m) == []
    m.power(saving=False)
    m.until(1001)
    assert checks(m) == [1000]


@pytest.mark.parametrize(
    ("error", "state"),
    [(Stalled("no answer"), "stalled"), (ServerFailed("HTTP 500"), "open"), (BrokenReply("x"), "open")],
)
def test_three_failed_checks_in_a_row_take_a_server_out(error: ModelError, state: str) -> None:
    """Half a minute apart; then calls go elsewhere before one of them has to wait for it."""
    m = machine(single(), spec("b"))
    for moment in (300, 330, 360):
        m.until(moment)
        assert m.scheduler.lanes["a"].endpoint.takes_calls
        m.checked("a", error)
    assert checks(m) == [300, 330, 360]
    assert m.state("a") == state
    m.submit("a", "b")
    assert m.lines[-1] == "    start 1 on b (first)"


def test_a_good_check_or_call_forgives_those_that_failed() -> None:
    """Only those in a row count."""
    m = machine()
    for error in (Stalled("x"), Stalled("x"), None, Stalled("x"), Stalled("x")):
        m.until(m.scheduler.lanes["a"].endpoint.check_due)
        m.checked("a", error)
    m.finish(m.submit("a"))
    m.until(m.scheduler.lanes["a"].endpoint.check_due)
    m.checked("a", Stalled("x"))
    assert m.state("a") == "ready"


@pytest.mark.parametrize("error", [ServerBusy("queue full"), RateLimited("HTTP 429"), BadRequest("no chat")])
def test_a_server_that_is_busy_or_cannot_chat_is_alive(error: ModelError) -> None:
    """It is at work for somebody else, or serves embeddings."""
    m = machine()
    for _ in range(5):
        m.until(m.now + 300)
        m.checked("a", error)
    assert checks(m) == [300, 600, 900, 1200, 1500]
    assert m.state("a") in ("unknown", "live")


def test_a_check_beside_calls_says_nothing() -> None:
    """The token may have waited behind the call, whose own progress is watched."""
    m = machine()
    for _ in range(5):
        m.until(m.scheduler.lanes["a"].endpoint.check_due)
        call = m.submit("a")
        m.checked("a", Stalled("no answer"), took=15.0)
        m.finish(call)
    assert m.state("a") == "ready"


@pytest.mark.parametrize(("error", "state"), [(Refused("HTTP 401"), "misconfigured"), (ModelNotFound("x"), "gone")])
def test_what_a_check_is_refused_is_known_before_a_call_comes(error: ModelError, state: str) -> None:
    """It rests like after a call that was refused."""
    m = machine()
    m.until(300)
    m.checked("a", error)
    assert m.state("a") == state


def test_an_endpoint_that_rests_is_not_checked() -> None:
    """It said itself when it will be free."""
    m = machine()
    m.finish(m.submit("a", within=30.0), RateLimited("HTTP 429", retry_after=250.0))
    m.until(249)
    assert checks(m) == []
    m.until(1000)
    assert checks(m) == [300]


def test_a_check_tries_a_server_that_is_half_open_before_a_call_does() -> None:
    """One that still hangs is out for twice as long each time; two tokens bring it back."""
    m = machine(single(), spec("b"))
    m.submit("a", "b", streaming=True)
    m.until(60)
    m.finish(1, Stalled("a made no progress for 60 s"))
    m.finish(1)
    for moment in (75, 105):
        m.until(moment - 1)
        assert m.state("a") == "stalled"
        m.until(moment)
        m.checked("a", Stalled("no answer"))
    for state in ("half_open", "live"):
        m.until(165)
        m.checked("a")
        assert m.state("a") == state
    assert checks(m) == [75, 105, 165, 165]
    m.until(164 + 300)
    assert checks(m)[4:] == []


def test_a_late_answer_says_nothing_of_what_is_there_now() -> None:
    """The endpoint has another target since."""
    m = machine()
    m.until(300)
    before = m.scheduler.lanes["a"].endpoint.epoch
    m.replace(replace(single(), target=replace(single().target, model="n")))
    for _ in range(3):
        m.scheduler.on_check("a", before, Stalled("no answer"), 300.0, m.now)
    assert m.state("a") == "unknown"


def test_checks_can_be_switched_off() -> None:
    """For whom even a token is too much."""
    m = machine(limits=SchedulerLimits(endpoint=EndpointRules(health=HealthRules(check=None))))
    m.until(3000)
    assert checks(m) == []


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time jumps to the next thing that happens."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("script", "seconds", "state", "asked"),
    [
        (Say(), 310, "live", 1),
        (Say("", hang=True), 410, "stalled", 3),
        (ValueError("a plug-in's own fault"), 361, "open", 3),
    ],
    ids=["well", "hung", "broken"],
)
async def test_the_loop_asks_for_one_token_and_waits_fifteen_seconds(
    script: Say | Exception, seconds: float, state: str, asked: int
) -> None:
    """A server that answers probes and hangs is out before the first call meets it."""
    provider, events = ScriptedProvider([script]), list[Event]()
    loop = Loop(jitter=lambda: 0.5, on_event=events.append)
    loop.set_endpoints({"a": replace(endpoint("a", provider), capabilities=LOADS_NOTHING)})
    loop.set_loaded({"a": True}, anyio.current_time())
    async with anyio.create_task_group() as group:
        await group.start(loop.run)
        await anyio.sleep(seconds)
        assert loop.snapshot()[0].state == state
        group.cancel_scope.cancel()
    assert [(call.max_tokens, call.timeout) for call in provider.calls] == [(1, 15.0)] * asked
    assert provider.probes > asked
