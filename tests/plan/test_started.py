"""Servers that we start are counted together, in one deployment and over several; each gets the best build that fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.memory import Sizes, Window, need_of
from orchestrator.plan.binding import bind_all
from orchestrator.plan.diff import diff
from orchestrator.plan.needs import Startable
from orchestrator.plan.observed import Prospect, StartedServer
from orchestrator.plan.started import Neighbours, fitted
from orchestrator.ports.device import Accelerator, Device
from orchestrator.ports.lifecycle import SetAside
from tests.plan.parts import after, agent, blueprint, model, ollama, rule, state

GB = 10**9
CACHE = 131_072 * 4096
"""Of one slot of the model of the tests."""
SERVER = 457 * 2**20
ONE_SLOT = SetAside(4096)
BUILDS = {"q4_k_m": 2_500_000_000, "q8_0": 4_000_000_000, "f16": 7_700_000_000}


def whole(weights: int, slots: int = 1) -> int:
    """What a server of these weights takes."""
    return weights + CACHE * slots + SERVER


def spec(alias: str, **changes: Any) -> Any:
    """A model with a server of its own."""
    server: dict[str, Any] = {
        "kind": "llama-cpp",
        "model": f"/m/{alias}",
        "scenario": None,
        "host": "127.0.0.1",
        "port": None,
    }
    server |= {"start_timeout": 300.0, "remote_code": False, "options": {}}
    return model(alias, provider="llama-cpp", ids={"*": [alias]}, server=server, **changes)


def desk(*specs: Any, limit: int | float | None = None, name: str = "desk") -> Blueprint:
    """A deployment of these models, and an agent that can do without."""
    clerk = agent("clerk", models=[each["alias"] for each in specs], reflex=[rule()])
    return replace(
        blueprint(*specs, clerk, name=name), resources={"max_memory_usage": limit} if limit is not None else {}
    )


def startable(name: str, build: str = "q4_k_m", aside: SetAside = ONE_SLOT, **prospect: Any) -> Startable:
    """One build of a model of the tests."""
    told = Prospect(name, "llama-cpp", "llama-server", build, ("llama-server",), **prospect)
    return Startable(told, build, BUILDS[build], aside)


def all_builds(name: str) -> list[Startable]:
    return [startable(name, build) for build in BUILDS]


def runs(name: str, memory: int, digest: str = "q4_k_m") -> dict[str, StartedServer]:
    """A server that is there."""
    return {name: StartedServer(name, "llama-cpp", digest, "ready", memory=memory)}


def device(memory: int, *cards: Accelerator) -> Device:
    return Device(memory, memory, 4, cards)


def test_two_that_fit_are_started_with_what_they_take() -> None:
    """Weights, the cache of a slot, and the server itself."""
    wanted = desk(spec("a"), spec("b"), limit=8 * GB)
    found = fitted(wanted, {"desk/a": [startable("desk/a")], "desk/b": [startable("desk/b")]}, Neighbours({}))
    assert [(each.memory, each.unfit, each.why) for each in found.values()] == [
        (whole(BUILDS["q4_k_m"]), False, "")
    ] * 2
    assert found["desk/a"].need == "3.5 GB = 2.5 GB weights + 537 MB cache (4096 tokens) + 479 MB server"


def test_the_second_of_two_that_exceed_the_limit_is_refused_with_the_arithmetic() -> None:
    """And what to change. The first is pinned: it gives its room to nobody."""
    wanted = desk(spec("a", pinned=True), spec("b"), limit=5 * GB)
    found = fitted(wanted, {"desk/a": [startable("desk/a")], "desk/b": [startable("desk/b")]}, Neighbours({}))
    assert (found["desk/a"].unfit, found["desk/b"].unfit) == (False, True)
    assert found["desk/b"].why == (
        "b does not fit this device: its server needs 3.5 GB = 2.5 GB weights + 537 MB cache (4096 tokens) + 479 MB server, "
        "and models may take 1.4 GB (max_memory_usage 5.0 GB, less 80.0 MB for the orchestrator, less 3.5 GB for the server of a)"
    )
    assert "resources.max_memory_usage" in found["desk/b"].cure


def test_it_is_neither_started_nor_bound_and_the_plan_says_why() -> None:
    """What can answer without it does; the first is pinned, and gives its room to nobody."""
    wanted = desk(spec("a", pinned=True), spec("b"), limit=5 * GB)
    found = fitted(wanted, {"desk/a": [startable("desk/a")], "desk/b": [startable("desk/b")]}, Neighbours({}))
    plan = diff(wanted, state(prospects=found))
    lines = [str(step) for step in plan.steps]
    assert lines[0] == "+ server.a: start llama-server (the manifest adds it)"
    assert not any(line.startswith("+ server.b") for line in lines)
    assert any(line.startswith("~ model.b: go on without it ([ORC530] b does not fit this device") for line in lines)
    assert "a: its server takes 3.5 GB = 2.5 GB weights + 537 MB cache (4096 tokens) + 479 MB server" in plan.notes


def test_servers_of_another_deployment_count_and_so_does_its_limit() -> None:
    """Whichever of the two was applied first keeps what it has."""
    first, second = desk(spec("a"), limit=5 * GB, name="shop"), desk(spec("b"))
    around = Neighbours(runs("shop/a", whole(BUILDS["q4_k_m"])), [first])
    found = fitted(second, {"desk/b": [startable("desk/b")]}, around)
    assert found["desk/b"].unfit
    assert "as shop says, less 3.5 GB for the server of shop/a" in found["desk/b"].why
    running = Neighbours({**around.started, **runs("desk/b", whole(BUILDS["q4_k_m"]))}, [first, second])
    assert not fitted(second, {"desk/b": [startable("desk/b")]}, running)["desk/b"].unfit
    assert not fitted(first, {"shop/a": [startable("shop/a")]}, running)["shop/a"].unfit


def test_what_is_only_measured_warns_and_starts() -> None:
    """An estimate refuses nothing."""
    wanted = desk(spec("a"), spec("b"))
    around = Neighbours({}, (), device(8 * GB))
    found = fitted(wanted, {"desk/a": [startable("desk/a")], "desk/b": [startable("desk/b")]}, around)
    assert [bool(each.why) for each in found.values()] == [False, False]
    assert found["desk/a"].tight == ""
    assert found["desk/b"].tight.startswith("its server needs 3.5 GB = 2.5 GB weights")
    plan = diff(wanted, state(prospects=found, device=around.device))
    assert [line for line in plan.notes if "models should take at most 2.9 GB" in line]
    assert len([step for step in plan.steps if step.operation.does() == "start llama-server"]) == 2


def test_the_most_faithful_build_is_taken_that_leaves_the_others_theirs() -> None:
    """With more memory each gets a better one; 16 bits come after 8. Within 7 GB the smallest two do not fit: they take turns, and
    each gets what fits alone."""
    wanted = {limit: desk(spec("a"), spec("b"), limit=limit * GB) for limit in (7, 8, 9, 10, 30)}
    there = {"desk/a": all_builds("desk/a"), "desk/b": all_builds("desk/b")}
    chosen = {
        limit: [each.build for each in fitted(each, there, Neighbours({})).values()] for limit, each in wanted.items()
    }
    assert chosen == {
        7: ["q8_0", "q8_0"],
        8: ["q4_k_m", "q4_k_m"],
        9: ["q8_0", "q4_k_m"],
        10: ["q8_0", "q4_k_m"],
        30: ["q8_0", "q8_0"],
    }


def test_the_build_that_the_manifest_names_is_taken_where_it_can_be() -> None:
    """Also a smaller one than would fit."""
    wanted = desk(spec("a", quantization="q4_k_m"), limit=30 * GB)
    assert fitted(wanted, {"desk/a": all_builds("desk/a")}, Neighbours({}))["desk/a"].build == "q4_k_m"


def test_a_build_that_the_manifest_names_and_nobody_has_is_no_other_one() -> None:
    """Neither of a folder nor the one file that there is; a file that tells no build is taken at the manifest's word."""
    wanted = desk(spec("a", quantization="q2_k"), limit=30 * GB)
    prospect = fitted(wanted, {"desk/a": all_builds("desk/a")}, Neighbours({}))["desk/a"]
    assert prospect.why.startswith("a is wanted as q2_k, and the files of its server are ")
    assert "write quantization: " in prospect.cure and not prospect.unfit
    untold = [replace(each, build="") for each in all_builds("desk/a")[:1]]
    assert fitted(wanted, {"desk/a": untold}, Neighbours({}))["desk/a"].why == ""


def test_a_server_that_runs_keeps_its_build() -> None:
    """It is not ended because another one is better now; it is where the limit has no room for it any more."""
    there = {"desk/a": all_builds("desk/a")}
    around = Neighbours(runs("desk/a", whole(BUILDS["q4_k_m"])))
    assert fitted(desk(spec("a"), limit=30 * GB), there, around)["desk/a"].digest == "q4_k_m"
    around = Neighbours(runs("desk/a", whole(BUILDS["q8_0"]), "q8_0"))
    assert fitted(desk(spec("a"), limit=4 * GB), there, around)["desk/a"].digest == "q4_k_m"
    assert fitted(desk(spec("a"), limit=3 * GB), there, around)["desk/a"].unfit


def test_one_that_runs_and_has_no_room_any_more_is_stopped_with_consent() -> None:
    """The limit was lowered; while a revision drains that still uses it, no step ends it."""
    running = runs("desk/a", whole(BUILDS["q4_k_m"]))
    wide, narrow = desk(spec("a"), limit=8 * GB), desk(spec("a"), limit=3 * GB)
    before = state(started=running, prospects=fitted(wide, {"desk/a": [startable("desk/a")]}, Neighbours(running)))
    there = after(wide, before)
    found = fitted(narrow, {"desk/a": [startable("desk/a")]}, Neighbours(running))
    last = diff(narrow, replace(there, prospects=found)).steps[-1]
    assert (str(last), last.removes) == ("- server.a: stop (it does not fit any more)", True)
    draining = {name: replace(each, draining=(1,)) for name, each in there.deployments.items()}
    steps = diff(narrow, replace(there, prospects=found, deployments=draining)).steps
    assert not [step for step in steps if str(step.operation.address) == "server.a"]


def test_vllm_takes_its_share_of_the_card_whatever_the_model() -> None:
    """The cure is the share that fits."""
    card = Accelerator("H", "cuda", 24 * GB, 24 * GB)
    aside = SetAside(4096, share=0.9, cards=1)
    wanted = desk(spec("a"), limit=16 * GB)
    found = fitted(wanted, {"desk/a": [startable("desk/a", aside=aside)]}, Neighbours({}, (), device(64 * GB, card)))
    assert "its server needs 21.6 GB = 90% of 24.0 GB graphics memory (gpu_memory_utilization)" in found["desk/a"].why
    assert found["desk/a"].cure == "write server.gpu_memory_utilization: 0.66"


def test_without_a_size_of_the_context_all_that_the_model_can_have_is_set_aside() -> None:
    """llama.cpp does so; the cure says how many tokens fit."""
    wanted = desk(spec("a", context_length=131_072), limit=8 * GB)
    found = fitted(wanted, {"desk/a": [startable("desk/a", aside=SetAside(whole=True))]}, Neighbours({}))
    assert "17.2 GB cache (131072 tokens)" in found["desk/a"].why
    assert "let the server keep 36864 tokens (context_length)" in found["desk/a"].cure


def test_a_model_of_unknown_size_is_held_against_nobody() -> None:
    """Nothing is known of it: it is started, and the others are reckoned without it."""
    wanted = desk(spec("a", builds={}, cache_per_token=None), spec("b"), limit=4 * GB)
    unknown = replace(startable("desk/a"), weights=None)
    found = fitted(wanted, {"desk/a": [unknown], "desk/b": [startable("desk/b")]}, Neighbours({}))
    assert [(each.unfit, each.memory) for each in found.values()] == [(False, 0), (False, whole(BUILDS["q4_k_m"]))]


def test_what_cannot_be_started_keeps_its_own_reason_and_takes_nothing() -> None:
    """A program that is missing takes no memory from the others."""
    wanted = desk(spec("a"), spec("b"), limit=4 * GB)
    missing = startable("desk/a", why="llama-server is not installed", cure="install it")
    found = fitted(wanted, {"desk/a": [missing], "desk/b": [startable("desk/b")]}, Neighbours({}))
    assert (found["desk/a"].why, found["desk/a"].unfit) == ("llama-server is not installed", False)
    assert not found["desk/b"].unfit


def test_models_of_servers_that_run_have_what_started_ones_leave() -> None:
    """A found model of 3.5 GB has no room beside a server of 3.5 GB within 5 GB."""
    other = model("other", ids={"ollama": ["phi4-mini:latest"]})
    for limit, served in ((5, False), (8, True)):
        wanted = desk(spec("a"), other, limit=limit * GB)
        found = fitted(wanted, {"desk/a": [startable("desk/a")]}, Neighbours({}))
        bound = bind_all(wanted, state(ollama("phi4-mini:latest"), prospects=found))["other"]
        assert bool(bound.endpoints) is served
        assert served or "less 3.5 GB for the server of a" in bound.missing


@pytest.mark.parametrize("build", BUILDS)
def test_what_is_kept_for_a_server_is_what_a_model_of_a_found_one_needs(build: str) -> None:
    """One arithmetic for both."""
    found = fitted(desk(spec("a")), {"desk/a": [startable("desk/a", build)]}, Neighbours({}, (), device(64 * GB)))
    need = need_of(Sizes(BUILDS, 131_072), build, Window(4096))
    assert need is not None and found["desk/a"].memory == need.total


@given(
    limit=st.integers(0, 40), names=st.lists(st.sampled_from("abcd"), min_size=1, unique=True), other=st.integers(0, 9)
)
def test_together_they_never_exceed_the_limit_that_is_written(limit: int, names: list[str], other: int) -> None:
    """But for those that take turns, of which each does alone; what is refused did not fit beside the smallest builds of the
    others."""
    wanted = desk(*map(spec, names), limit=limit * GB)
    started = runs("shop/x", other * GB) if other else {}
    found = fitted(wanted, {f"desk/{name}": all_builds(f"desk/{name}") for name in names}, Neighbours(started))
    most = max(0, limit * GB - 80_000_000 - other * GB)
    if turns := [each for each in found.values() if each.turns]:
        assert max(each.memory for each in turns) <= most < sum(whole(BUILDS["q4_k_m"]) for _ in names)
        assert [each.name for each in turns] == [f"desk/{name}" for name in names]
        return
    taken = sum(each.memory for each in found.values() if not each.why)
    assert taken <= most
    smallest = sum(whole(BUILDS["q4_k_m"]) for each in found.values() if not each.why)
    assert all(smallest + whole(BUILDS["q4_k_m"]) > most for each in found.values() if each.unfit)


def test_one_that_loads_on_request_holds_nothing_and_is_asked_for_the_build_that_fits() -> None:
    """Its model takes turns; what can never fit is refused all the same."""
    lazy = SetAside(4096, on_request=True)
    names = ("phi4-mini:3.8b-q8_0", "phi4-mini:3.8b-q4_k_m")
    for limit, served, refused in ((9, names[0], False), (4, names[1], False), (3, "", True)):
        wanted = desk(spec("a") | {"ids": {"ollama": ["phi4-mini:3.8b"]}, "provider": "ollama"}, limit=limit * GB)
        there = ollama(*names, capabilities={"load": "yes"})
        started = {"desk/a": StartedServer("desk/a", "ollama", "q4_k_m", "ready", url=there.url, serves=names[0])}
        found = fitted(wanted, {"desk/a": [startable("desk/a", aside=lazy)]}, Neighbours(started))
        assert (found["desk/a"].memory, found["desk/a"].unfit) == (0, refused)
        bound = bind_all(wanted, state(there, started=started, prospects=found))["a"]
        assert [each.model for each in bound.endpoints[:1]] == ([served] if served else [])


FREE_NOW = {
    "all is free": (device(32 * GB, Accelerator("card", "cuda", 24 * GB, 24 * GB)), ""),
    "others have the card": (
        device(32 * GB, Accelerator("card", "cuda", 24 * GB, 3 * GB)),
        (
            "a 3.5 GB + b 3.5 GB are still to be started, and 3.0 GB of 24.0 GB graphics memory are free now: what has no "
            "room there runs on the processor, many times slower"
        ),
    ),
    "a card that does not tell": (device(32 * GB, Accelerator("card", "cuda", 24 * GB)), ""),
    "others have all": (
        Device(32 * GB, 2 * GB, 4, (Accelerator("card", "cuda", 24 * GB, 3 * GB),)),
        "a 3.5 GB + b 3.5 GB are still to be started, and 5.0 GB of memory are free now",
    ),
    "no card, and others have the memory": (
        Device(32 * GB, 2 * GB, 4),
        "a 3.5 GB + b 3.5 GB are still to be started, and 2.0 GB of memory are free now",
    ),
    "a card in the main memory": (device(32 * GB, Accelerator("card", "metal", 32 * GB, GB, unified=True)), ""),
}


@pytest.mark.parametrize("case", FREE_NOW)
def test_a_plan_says_that_others_have_the_memory_that_a_server_wants(case: str) -> None:
    """llama-server leaves to the processor what has no room on the card, and says nothing: seen on a card of 151 GB that
    another program filled, 10 tokens a second instead of 270. Once the server is there, its own memory is no news."""
    here, note = FREE_NOW[case]
    wanted = desk(spec("a"), spec("b"))
    found = fitted(wanted, {"desk/a": [startable("desk/a")], "desk/b": [startable("desk/b")]}, Neighbours({}, (), here))
    notes = diff(wanted, state(prospects=found, device=here)).notes
    assert [line for line in notes if "free now" in line] == ([note] if note else [])
    there = {
        name: StartedServer(name, each.kind, each.digest, "ready", memory=each.memory) for name, each in found.items()
    }
    after_start = diff(wanted, state(prospects=found, device=here, started=there)).notes
    assert not [line for line in after_start if "free now" in line]
