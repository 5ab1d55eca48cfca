"""Servers that we start and that fit alone but not together: the plan says that they take turns, with the arithmetic."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.binding import bind_all
from orchestrator.plan.diff import diff
from orchestrator.plan.observed import Prospect, StartedServer
from orchestrator.plan.started import Neighbours, fitted
from orchestrator.ports.device import Accelerator, Device
from orchestrator.ports.lifecycle import SetAside
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import model, ollama, state
from tests.plan.test_started import BUILDS, GB, desk, device, spec, startable, whole

ONE = whole(BUILDS["q4_k_m"])
"""3.5 GB."""


def found_of(wanted: Blueprint, around: Neighbours | None = None, **builds: str) -> dict[str, Prospect]:
    """What becomes of its servers, each with one build."""
    aliases = [each.spec["alias"] for each in wanted.of_kind("model") if each.spec["server"]]
    names = {alias: f"{wanted.name}/{alias}" for alias in aliases}
    there = {name: [startable(name, builds.get(alias, "q4_k_m"))] for alias, name in names.items()}
    return fitted(wanted, there, around or Neighbours({}))


def runs(name: str, *, turns: bool = False, size: int = ONE, **changes: Any) -> StartedServer:
    return StartedServer(name, "llama-cpp", "q4_k_m", "ready", memory=size, turns=turns, **changes)


def around(*servers: StartedServer, blueprints: tuple[Blueprint, ...] = ()) -> Neighbours:
    return Neighbours({each.name: each for each in servers}, blueprints)


def test_the_plan_says_who_takes_turns_with_whom_and_starts_both() -> None:
    """With the arithmetic; nobody is refused."""
    wanted = desk(spec("a"), spec("b"), limit=5_500_000_000)
    found = found_of(wanted, b="q8_0")
    plan = diff(wanted, state(prospects=found))
    assert [str(step) for step in plan.steps if "server." in str(step)] == [
        "+ server.a: start llama-server (the manifest adds it)",
        "+ server.b: start llama-server (the manifest adds it)",
    ]
    budget = "5.4 GB (max_memory_usage 5.5 GB, less 80.0 MB for the orchestrator)"
    assert [each for each in plan.notes if "turns" in each] == [
        f"a: takes turns with b: 3.5 GB + 5.0 GB of {budget}: a request may wait while its server is started",
        f"b: takes turns with a: 5.0 GB + 3.5 GB of {budget}: a request may wait while its server is started",
    ]


@pytest.mark.parametrize(
    ("specs", "limit", "turn", "unfit"),
    [
        ([spec("a"), spec("b")], 8, "", ""),
        ([spec("a"), spec("b"), spec("c")], 8, "abc", ""),
        ([spec("a"), spec("b")], 3, "", "ab"),
        ([spec("a", pinned=True), spec("b")], 5, "", "b"),
        ([spec("a"), spec("b", pinned=True)], 5, "", "b"),
        ([spec("a", pinned=True), spec("b"), spec("c")], 8, "bc", ""),
        ([spec("a", kind="embedding"), spec("b")], 5, "", "b"),
        ([spec("a", keep_alive=60.0), spec("b")], 5, "ab", ""),
        ([spec("a"), spec("b", builds={}, cache_per_token=None, memory=None)], 5, "ab", ""),
    ],
)
def test_who_takes_turns(specs: list[Any], limit: int, turn: str, unfit: str) -> None:
    """Those that do not fit together and each alone, beside what is pinned or never rests; nobody where that serves nothing
    more."""
    found = found_of(desk(*specs, limit=limit * GB))
    told = {name[-1]: each for name, each in found.items()}
    assert "".join(name for name, each in told.items() if each.turns) == turn
    assert "".join(name for name, each in told.items() if each.unfit) == unfit


def test_without_a_limit_that_is_written_nobody_does() -> None:
    """What is only measured refuses nothing."""
    wanted = desk(spec("a"), spec("b"))
    found = found_of(wanted, Neighbours({}, (), device(5 * GB)))
    assert [(each.turns, each.why) for each in found.values()] == [("", "")] * 2


def test_parts_of_a_card_are_no_turns() -> None:
    """Who decides the turns counts all memory together; on a card two that are within the limit may be too much."""
    card = Accelerator("card", "cuda", 24 * GB, 24 * GB)
    wanted = desk(spec("a"), spec("b"), limit=45 * GB)
    there = {f"desk/{name}": [startable(f"desk/{name}", aside=SetAside(4096, share=0.9, cards=1))] for name in "ab"}
    found = fitted(wanted, there, Neighbours({}, (), device(64 * GB, card)))
    assert [(each.turns, each.unfit) for each in found.values()] == [("", False), ("", True)]


@pytest.mark.parametrize(
    "states", [("ready", "resting"), ("resting", "ready"), ("starting", "waiting"), ("ready", "ready")]
)
def test_it_stays_so_whoever_runs(states: tuple[str, str]) -> None:
    """The plan of what is applied is the same before the first start and at every moment after."""
    wanted = desk(spec("a"), spec("b"), limit=5 * GB)
    before = found_of(wanted)
    now = [replace(runs(f"desk/{name}", turns=True), state=each) for name, each in zip("ab", states, strict=True)]
    assert found_of(wanted, around(*now)) == before


def test_they_stay_for_good_where_both_fit_again() -> None:
    """A higher limit ends the turns."""
    now = around(runs("desk/a", turns=True), runs("desk/b", turns=True))
    assert [each.turns for each in found_of(desk(spec("a"), spec("b"), limit=8 * GB), now).values()] == ["", ""]


def test_one_of_another_deployment_makes_room_only_by_leave_of_its_manifest() -> None:
    """One that says nothing of its rest keeps its place; with `keep_alive` both take turns, and with one that takes turns
    already all do."""
    wanted = desk(spec("b"), limit=5 * GB)
    plain, resting = desk(spec("a"), name="shop"), desk(spec("a", keep_alive=60.0), name="shop")
    (refused,) = found_of(wanted, around(runs("shop/a"), blueprints=(plain,))).values()
    assert (refused.turns, refused.unfit) == ("", True)
    (turning,) = found_of(wanted, around(runs("shop/a"), blueprints=(resting,))).values()
    assert turning.turns.startswith("takes turns with shop/a: 3.5 GB + 3.5 GB of 4.9 GB")
    (third,) = found_of(
        wanted, around(runs("shop/a", turns=True), runs("shop/c", turns=True), blueprints=(plain,))
    ).values()
    assert third.turns.startswith("takes turns with shop/a and shop/c: 3.5 GB + 3.5 GB + 3.5 GB of 4.9 GB")


def test_with_others_it_goes_on_to_take_turns_once_it_runs() -> None:
    """Else it would keep the memory of those that made room for it."""
    wanted, shop = desk(spec("b"), limit=5 * GB), desk(spec("a", keep_alive=60.0), name="shop")
    first = found_of(wanted, around(runs("shop/a"), blueprints=(shop,)))
    again = found_of(wanted, around(runs("shop/a"), runs("desk/b", turns=True), blueprints=(shop,)))
    assert [bool(each.turns) for each in (*first.values(), *again.values())] == [True, True]
    (alone,) = found_of(wanted, around(runs("desk/b", turns=True))).values()
    assert alone.turns == ""


def test_one_that_stays_has_room_beside_the_largest_of_those_that_take_turns() -> None:
    """Of another deployment: never more than one of them runs."""
    there = around(runs("shop/a", turns=True), runs("shop/c", turns=True))
    (one,) = found_of(desk(spec("b"), limit=8 * GB), there).values()
    assert (one.turns, one.unfit) == ("", False)


def test_models_of_servers_that_run_have_the_room_of_those_that_take_turns() -> None:
    """They make room for each other."""
    other = model("other", ids={"ollama": ["phi4-mini:latest"]})
    wanted = desk(spec("a"), spec("b"), other, limit=5 * GB)
    bound = bind_all(wanted, state(ollama("phi4-mini:latest"), prospects=found_of(wanted)))["other"]
    assert bound.endpoints


IN_TURN = "a 3.5 GB are still to be started, and {} of memory are free now"


@pytest.mark.parametrize(
    ("free", "running", "note"),
    [
        (6_500_000_000, "", ""),
        (3_000_000_000, "a", ""),
        (1_000_000_000, "", IN_TURN.format("1.0 GB")),
        (0, "a", ""),
    ],
)
def test_no_more_of_those_that_take_turns_is_to_be_started_than_runs_at_once(
    free: int, running: str, note: str
) -> None:
    """Not their sum: one makes room for the next, before the first start as after."""
    wanted = desk(spec("a"), spec("b"), limit=5 * GB)
    started = {f"desk/{running}": runs(f"desk/{running}", turns=True, pid=1, use="live")} if running else {}
    seen = state(prospects=found_of(wanted), started=started, device=Device(16 * GB, free, 4))
    assert [each for each in diff(wanted, seen).notes if "free now" in each] == ([note] if note else [])


def test_a_larger_one_that_takes_turns_has_what_the_smaller_one_gives_back() -> None:
    """And what is free beside it."""
    wanted = desk(spec("a"), spec("b"), limit=5_500_000_000)
    started = {"desk/a": runs("desk/a", turns=True, pid=1, use="live")}
    found = found_of(wanted, b="q8_0")
    for free, notes in ((1_600_000_000, []), (GB, ["4.5 GB of memory are free now, with what makes room"])):
        seen = state(prospects=found, started=started, device=Device(16 * GB, free, 4))
        told = [each.rpartition("and ")[2] for each in diff(wanted, seen).notes if "free now" in each]
        assert told == notes


@pytest.mark.parametrize("running", ["", "a"])
def test_a_model_is_not_told_to_lack_the_room_of_servers_that_make_it(running: str) -> None:
    """They take turns with it too; what runs of them is no other program's."""
    other = model("other", ids={"ollama": ["phi4-mini:latest"]})
    wanted = desk(spec("a"), spec("b"), other, limit=5 * GB)
    started = {"desk/a": runs("desk/a", turns=True, pid=1)} if running else {}
    here = Device(8 * GB, 6_500_000_000 - (ONE if running else 0), 4)
    server = replace(ollama(), models=(ServedModel("phi4-mini:latest", kind="chat", loaded=False),))
    notes = diff(wanted, state(server, prospects=found_of(wanted), started=started, device=here)).notes
    assert not [each for each in notes if "are to be loaded" in each]
