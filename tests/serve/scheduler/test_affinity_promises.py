"""The promises of model affinity, whatever calls come: they are kept, or the world of ``world`` finds it out."""

from __future__ import annotations

from math import inf
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.memory import kept
from orchestrator.deploy.residence import PoolLimits
from orchestrator.serve.scheduler_limits import PRIORITIES, SchedulerLimits
from orchestrator.serve.scheduler_residency import AffinityRules, Device, Standing, decide
from tests.serve.scheduler.machine import GB, resident, spec
from tests.serve.scheduler.world import LOAD_SECONDS, Deed, Swap, Told, Wish, World

BURST = AffinityRules().burst
BOUNDS = {name: SchedulerLimits().classes[name].starve_after for name in PRIORITIES}
UNLOAD_SECONDS = 0.5

names = st.sampled_from(["a", "b", "c"])
seconds = st.sampled_from([0.0, 0.1, 1.0, 3.0, 20.0, 150.0])
wishes = st.builds(
    Wish,
    after=seconds,
    candidates=st.one_of(st.tuples(names), st.tuples(names, names), st.tuples(names, st.just("plain"))),
    takes=st.sampled_from([0.1, 1.0, 7.0, 40.0]),
    priority=st.sampled_from(PRIORITIES),
    within=st.sampled_from([0.2, 30.0, 1000.0]),
    patience=st.just(1e6),
)
numbers = st.frozensets(st.integers(1, 12), max_size=5)


def _world(sizes: tuple[int, int, int], pinned: str, loaded: str, slots: int, rest: float, **more: Any) -> World:
    specs = [
        resident(name, size, slots, pinned=name == pinned, loaded=name == loaded, rest=rest)
        for name, size in zip("abc", sizes, strict=True)
    ]
    return World([*specs, spec("plain")], **more)


worlds = st.builds(
    _world,
    sizes=st.tuples(*[st.integers(1, 8)] * 3),
    pinned=st.sampled_from(["", "", "a"]),
    loaded=st.sampled_from(["", "a", "b"]),
    slots=st.integers(1, 3),
    rest=st.sampled_from([inf, 5.0, 300.0]),
    limits=st.builds(
        PoolLimits,
        budget=st.integers(8, 16).map(lambda size: size * GB),
        cache=st.sampled_from([None, 0, 4 * GB]),
        saves=st.booleans(),
    ),
    fails=numbers,
    stays=numbers,
)


deeds = st.builds(
    Deed,
    after=seconds,
    what=st.sampled_from(["cancel", "foresee", "forget", "battery", "mains", "evicted"]),
    name=names,
)


@settings(max_examples=300, deadline=None)
@given(world=worlds, coming=st.lists(wishes, max_size=40), done=st.lists(deeds, max_size=15))
def test_whatever_comes_every_call_ends_and_no_promise_is_broken(
    world: World, coming: list[Wish], done: list[Deed]
) -> None:
    """Memory within its budget, nothing unloaded that works or is pinned, calls only on models that are there; and each call
    has begun or failed in the end, also where loads and unloads fail."""
    told = world.play(coming, done)
    assert len(told) == len(coming)
    assert all(one.ended < inf for one in told.values())
    assert not world.running


one_model = st.builds(
    Wish,
    after=st.sampled_from([0.0, 0.3, 1.0, 2.0, 12.0]),
    candidates=st.tuples(names),
    takes=st.sampled_from([0.1, 1.0, 4.0]),
    priority=st.sampled_from(PRIORITIES),
    patience=st.just(1e6),
)


@settings(max_examples=300, deadline=None)
@given(coming=st.lists(one_model, min_size=1, max_size=60), slots=st.integers(1, 3))
def test_a_switch_is_decided_when_the_oldest_call_has_waited_its_bound_and_the_stint_is_over(
    coming: list[Wish], slots: int
) -> None:
    """With memory for one model: a load is never decided later than the first call for it is due, but for the work that runs
    then, the stint of what had been due before it, and the swap that is on its way."""
    world = World([resident(name, 6, slots) for name in "abc"], PoolLimits(10 * GB))
    told = world.play(coming).values()
    assert [problem for number in range(len(world.swaps)) if (problem := _late(world.swaps, number, list(told)))] == []


def _late(swaps: list[Swap], number: int, told: list[Told]) -> str:
    """What is wrong with the time of a swap, if anything is."""
    swap = swaps[number]
    due = _due(swap, told)
    if number == 0 or swap.decided <= due:
        return ""
    before = swaps[number - 1]
    stint = [one for one in _calls_of(before, told) if one.came <= before.there <= one.began][:BURST]
    at_work = [one for one in _calls_of(before, told) if one.began <= due]
    ends = [one.ended for one in (*stint, *at_work) if before.there <= one.ended]
    allowed = max(due, before.there, *ends) + UNLOAD_SECONDS
    if swap.decided > allowed + 1e-6:
        return f"{swap} was due at {due:g}, allowed until {allowed:g}"
    overtook = [one for one in swaps[:number] if one.decided > due and _due(one, told) > due]
    return f"{overtook} went before {swap}, which was due at {due:g}" if overtook else ""


def _due(swap: Swap, told: list[Told]) -> float:
    """When the first of the calls that waited for it has waited its bound."""
    waiting = [one for one in _calls_of(swap, told) if one.came <= swap.decided <= one.began]
    return min(one.came + BOUNDS[one.wish.priority] for one in waiting)


def _calls_of(swap: Swap, told: list[Told]) -> list[Told]:
    mine = [one for one in told if f"model-{one.wish.candidates[0]}" == swap.model]
    return sorted(mine, key=lambda one: one.began)


@settings(max_examples=200, deadline=None)
@given(coming=st.lists(one_model, min_size=1, max_size=40))
def test_of_two_models_the_wait_is_the_bound_the_work_that_runs_and_one_swap(coming: list[Wish]) -> None:
    """Whoever comes first for the model that is not there."""
    two = [wish for wish in coming if wish.candidates != ("c",)]
    world = World([resident("a", 6, loaded=True), resident("b", 6)], PoolLimits(10 * GB))
    told = list(world.play(two).values())
    swap_seconds = LOAD_SECONDS + UNLOAD_SECONDS
    for swap in world.swaps:
        first = min((one for one in _calls_of(swap, told) if one.began >= swap.decided), key=lambda one: one.came)
        due = first.came + BOUNDS[first.wish.priority]
        others = [one for one in told if one.on != first.on and one.began <= max(due, first.came)]
        work = sum(one.wish.takes for one in others if one.ended > first.came)
        stint = BURST * 4.0 + swap_seconds  # it had come just before, and serves those that waited for it
        assert swap.there - first.came <= BOUNDS[first.wish.priority] + work + stint + swap_seconds


standings = st.lists(
    st.builds(
        Standing,
        id=st.sampled_from("abcdef"),
        memory=st.integers(1, 9),
        state=st.sampled_from(["out", "out", "in", "in", "in", "loading", "unloading"]),
        in_flight=st.integers(0, 2),
        waiting=st.integers(0, 3),
        oldest=st.just(0.0),
        due=st.sampled_from([1.0, 5.0, 30.0]),
        foreseen=st.sampled_from([0.0, 0.5, 1.0]),
        pinned=st.sampled_from([False, False, False, True]),
        cost=st.sampled_from([None, 1.0, 60.0]),
        served=st.integers(0, 9),
        stint=st.integers(-1, 3),
        keep=st.sampled_from([3.0, 300.0, inf]),
        ready_at=st.sampled_from([0.0, 0.0, 20.0]),
        wished=st.booleans(),
        closed=st.booleans(),
        insists=st.booleans(),
        ours=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda one: one.id,
)


devices = st.builds(Device, saving=st.booleans(), free=st.sampled_from([0, 5, inf]))


@settings(max_examples=500)
@given(models=standings, budget=st.integers(4, 30), now=st.sampled_from([0.0, 6.0, 400.0]), device=devices)
def test_a_decision_never_asks_for_what_must_not_be(
    models: list[Standing], budget: int, now: float, device: Device
) -> None:
    """By itself, for any standing: room for what is loaded; who leaves neither works nor is pinned within the limit; nobody
    in two lists."""
    by_id = {model.id: model for model in models}
    moves = decide(models, PoolLimits(budget, cache=5), AffinityRules(), now, device)
    taken = sum(model.memory for model in models if model.state != "out")
    coming = [by_id[name] for name in moves.load]
    held = kept({model.id: model.memory for model in models if model.pinned}, budget)
    pinned = sum(model.memory for model in models if model.state != "out" and model.id in held)
    for model in coming:
        too_large = model.memory > budget - (0 if model.id in held else pinned)
        assert taken + model.memory <= budget or (model.insists and too_large and taken == pinned)
        assert model.waiting or model.wished or model.memory <= device.free
    assert len(coming) <= 1
    assert not coming or not any(model.state == "loading" and model.waiting for model in models)
    assert all(model.state == "out" and model.ready_at <= now for model in coming)
    for name in moves.unload:
        assert (by_id[name].state, by_id[name].in_flight, name in held) == ("in", 0, False)
    for name in moves.close:
        assert by_id[name].state == "in"
        assert name not in held
    listed: list[Any] = [*moves.load, *moves.unload, *moves.close, *moves.hopeless]
    assert len(listed) == len(set(listed))
    assert moves.look_at > now or moves.look_at == inf
