"""One more process of a server comes while calls wait for the first one: it takes them, the oldest first."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.errors import Unreachable
from orchestrator.deploy.endpoint import EndpointSpec
from tests.serve.scheduler.machine import Machine, spec


def of(name: str, crew: str = "desk/tiny one") -> EndpointSpec:
    """A process of one server."""
    return replace(spec(name), crew=crew)


def starts(machine: Machine) -> list[str]:
    return [line.strip() for line in machine.lines if line.startswith("    start ")]


def test_those_that_wait_are_next_at_it() -> None:
    """None that comes later overtakes them, and none waits until it is refused while another process is free."""
    m = Machine(of("a"))
    for _ in range(4):
        m.submit("a")
    m.replace(of("a"), of("b"))
    m.submit("a", "b", equals=2)
    for call in (2, 1, 3, 4):
        m.finish(call)
    assert starts(m) == [
        "start 1 on a (first)",
        "start 2 on b (first)",
        "start 3 on b (first)",
        "start 4 on a (first)",
        "start 5 on b (first)",
    ]


def test_a_third_one_takes_them_as_well_and_one_that_goes_leaves_them() -> None:
    """Of whichever process they know."""
    m = Machine(of("a"))
    for _ in range(5):
        m.submit("a")
    m.replace(of("a"), of("b"))
    m.replace(of("a"), of("b"), of("c"))
    m.replace(of("a"))
    for call in (1, 2, 3, 4):
        m.finish(call)
    assert starts(m)[1:] == [
        "start 2 on b (first)",
        "start 3 on c (first)",
        "start 4 on a (first)",
        "start 5 on a (first)",
    ]


def test_one_with_other_options_or_of_another_server_takes_nothing() -> None:
    """A call keeps what it began with."""
    for crew in ("desk/tiny two", "shop/tiny one", ""):
        m = Machine(of("a"))
        m.submit("a")
        m.submit("a")
        m.replace(of("a"), of("b", crew))
        assert starts(m) == ["start 1 on a (first)"]


def test_it_is_an_equal_of_its_own_kind_only() -> None:
    """A call that prefers another server still does; one whose server fails goes on to the new process first."""
    m = Machine(spec("best"), of("a"))
    m.submit("best", "a")
    m.submit("best", "a")
    m.replace(spec("best"), of("a"), of("b"))
    assert starts(m) == ["start 1 on best (first)"]
    m.finish(1)
    assert starts(m)[1:] == ["start 2 on best (first)"]
    m = Machine(of("a"), spec("last"))
    m.submit("a", "last")
    m.replace(of("a"), of("b"), spec("last"))
    m.finish(1, Unreachable("it is gone"))
    assert starts(m)[-1].startswith("start 1 on b")
