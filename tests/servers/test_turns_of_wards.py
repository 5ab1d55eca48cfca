"""The supervisor of servers that take turns, on virtual time: never more than fit, whatever is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.deploy.backoff import Backoff
from orchestrator.deploy.server_effects import Answer, Ask, Effect, Spawn
from orchestrator.deploy.supervisor import Supervisor
from orchestrator.deploy.supervisor_rules import SupervisorRules
from orchestrator.deploy.turns import Shares

RULES = SupervisorRules(again=Backoff(1.0, 60.0, 0.0))
SIZES = {"d/a": 6, "d/b": 5, "d/c": 4, "d/firm": 2}
IN_TURNS = Shares(10, frozenset({"d/a", "d/b", "d/c"}))
"""Room beside the one that stays for each of the others, and for no two of them but b and c."""


class World:
    """A supervisor, with processes that start at once and end when they are told to."""

    def __init__(self, shares: Shares = IN_TURNS) -> None:
        self.supervisor = Supervisor(RULES, lambda: 0.5)
        self.now = 0.0
        self.asks: dict[str, Ask] = {}
        self.hear(self.supervisor.on_shares(shares, 0.0))

    def hear(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Ask):
                self.asks[effect.name] = effect
            if isinstance(effect, Spawn):
                self.hear(self.supervisor.on_spawned(effect.name, self.now))
        self.check()

    def check(self) -> None:
        """At every moment."""
        there = [each for each in self.supervisor.wards.values() if each.lives or each.spawning]
        assert sum(each.memory for each in there) <= 10, [each.name for each in there]

    def want(self, *names: str) -> None:
        for name in names:
            self.hear(self.supervisor.on_want(name, "one", 30.0, self.now, SIZES[name]))

    def tick(self, seconds: float = 0.0) -> None:
        until = self.now + seconds
        while self.supervisor.due <= until:
            self.now = max(self.now, self.supervisor.due)
            self.hear(self.supervisor.on_tick(self.now))
        self.now = until

    def token(self, name: str) -> None:
        if name in self.asks:
            self.hear(self.supervisor.on_asked(self.asks.pop(name), Answer(True), self.now))

    def ends(self, name: str, why: str = "exit code 1") -> None:
        ward = self.supervisor.wards.get(name)
        if ward is not None and ward.lives:
            self.hear(self.supervisor.on_exit(name, why, self.now))

    def rests(self, name: str) -> None:
        self.hear(self.supervisor.on_rest(name, "another one needs the room", self.now))
        self.ends(name)
        self.tick()

    def up(self, *names: str) -> None:
        self.tick()
        for name in names:
            self.token(name)

    @property
    def states(self) -> str:
        return ", ".join(f"{name[2:]} {each.state}" for name, each in self.supervisor.wards.items())


def test_each_waits_until_those_before_it_rest() -> None:
    """Also one that is needed while another one is there; those that fit together are."""
    world = World()
    world.want("d/firm", "d/a", "d/b", "d/c")
    world.up("d/firm", "d/a")
    assert world.states == "firm ready, a ready, b waiting, c waiting"
    assert world.supervisor.wards["d/b"].why == "it takes turns in memory with d/a"
    world.rests("d/a")
    world.up("d/b")
    assert world.states == "firm ready, a resting, b ready, c waiting"
    world.hear(world.supervisor.on_needed("d/a", world.now))
    assert world.states == "firm ready, a waiting, b ready, c waiting"
    world.rests("d/b")
    world.up("d/a")
    assert world.states == "firm ready, a ready, b resting, c waiting"


def test_one_that_exits_in_its_turn_rests_and_comes_back_after_its_pause() -> None:
    """The next of them need not wait for its pause."""
    world = World()
    world.want("d/firm", "d/a", "d/b")
    world.up("d/a", "d/firm")
    world.ends("d/a")
    world.up("d/b")
    assert world.states == "firm ready, a resting, b ready"
    assert world.supervisor.wards["d/a"].why == "exit code 1; the next request starts it"
    world.rests("d/b")
    world.hear(world.supervisor.on_needed("d/a", world.now))
    assert world.states == "firm ready, a waiting, b resting"
    world.tick(1.0)
    world.up("d/a")
    assert world.states == "firm ready, a ready, b resting"


def test_one_that_exits_again_and_again_is_given_up() -> None:
    """However often somebody needs it; and while others have its room it is not tried once more."""
    world = World()
    world.want("d/a", "d/b")
    world.up("d/a")
    for _ in range(5):
        world.ends("d/a")
        world.up("d/b")
        world.rests("d/b")
        world.hear(world.supervisor.on_needed("d/a", world.now))
        world.tick(40)
        world.up("d/a")
        world.hear(world.supervisor.on_needed("d/b", world.now))
    assert world.supervisor.wards["d/a"].state == "failed"
    world.up("d/b")
    world.tick(2000)
    assert world.states == "a failed, b ready"


def test_without_a_limit_nobody_waits() -> None:
    """Nor where a higher one is written later."""
    world = World()
    world.want("d/a", "d/b")
    world.up("d/a")
    assert world.states == "a ready, b waiting"
    unlimited = Supervisor(RULES, lambda: 0.5)
    for name in ("d/a", "d/b"):
        assert any(isinstance(each, Spawn) for each in unlimited.on_want(name, "one", 30.0, 0.0, SIZES[name]))
    assert world.supervisor.on_shares(Shares(20, IN_TURNS.yielding), world.now) == []
    assert any(isinstance(each, Spawn) for each in world.supervisor.on_tick(world.now))


def _one_that_waits_for_a_firm_one() -> World:
    """The firm one has exited and is in its pause: it keeps its room, and b has none beside c."""
    world = World(Shares(10, frozenset({"d/b", "d/c"})))
    world.want("d/firm", "d/c")
    world.up("d/firm", "d/c")
    world.want("d/b")
    world.ends("d/firm")
    world.tick()
    assert world.states == "firm waiting, c ready, b waiting"
    assert world.supervisor.wards["d/b"].again == inf
    return world


def test_one_that_waits_goes_on_when_one_without_a_process_is_wanted_no_more() -> None:
    """No exit follows that would call it."""
    world = _one_that_waits_for_a_firm_one()
    world.hear(world.supervisor.on_unwant("d/firm", world.now))
    world.up("d/b")
    assert world.states == "c ready, b ready"


def test_one_that_waits_goes_on_when_another_takes_less() -> None:
    """The same process, reckoned anew."""
    world = _one_that_waits_for_a_firm_one()
    world.hear(world.supervisor.on_want("d/firm", "one", 30.0, world.now, 1))
    world.up("d/b")
    assert world.states == "firm waiting, c ready, b ready"


_ACTS: Final[dict[str, Callable[[World, str], None]]] = {
    "want": lambda world, name: world.want(name),
    "unwant": lambda world, name: world.hear(world.supervisor.on_unwant(name, world.now)),
    "need": lambda world, name: world.hear(world.supervisor.on_needed(name, world.now)),
    "rest": lambda world, name: world.hear(world.supervisor.on_rest(name, "not needed", world.now)),
    "exit": lambda world, name: world.ends(name),
    "token": lambda world, name: world.token(name),
    "tick": lambda world, _: world.tick(1.0),
    "other": lambda world, name: world.hear(world.supervisor.on_want(name, "two", 30.0, world.now, SIZES[name])),
}


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(sorted(_ACTS)),
            st.sampled_from(sorted(SIZES)),
        ),
        max_size=60,
    )
)
def test_never_more_have_a_process_than_fit(steps: list[tuple[str, str]]) -> None:
    """Whatever is asked in whatever order: ``check`` looks after every event. In the end, when all who wait are let go on, nobody
    waits for ever."""
    world = World()
    world.want(*SIZES)
    supervisor = world.supervisor
    for step, name in steps:
        _ACTS[step](world, name)
    for _ in range(20):
        world.tick(1.0)
        for name in SIZES:
            world.token(name)
            ward = supervisor.wards.get(name)
            if ward is not None and ward.state in ("ready", "stopping") and name != "d/firm":
                world.rests(name)
    assert not [each.name for each in supervisor.wards.values() if each.crowded and each.state != "failed"]
