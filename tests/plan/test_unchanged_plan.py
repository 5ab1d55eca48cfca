"""A plan of an unchanged manifest says the same before and after its models are loaded, and its servers are started."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.binding import bind_all
from orchestrator.plan.diff import diff
from orchestrator.plan.observed import ObservedServer, ObservedState, Prospect, StartedServer
from orchestrator.ports.device import Device
from orchestrator.ports.provider import Capability, ServedModel
from tests.plan.parts import after, agent, blueprint, model, ollama, rule, state

GB = 10**9
SIZES = {"phi4-mini:latest": 2_500_000_000, "phi4-mini:3.8b-q8_0": 4_000_000_000, "small:latest": 2_500_000_000}
NEEDS = {"phi4-mini:latest": 3_516_070_144, "phi4-mini:3.8b-q8_0": 5_016_070_144, "small:latest": 3_516_070_144}
"""What each is reckoned to take, in a context of 4096 tokens."""


def desk(limit: int | None = None, **changes: Any) -> Blueprint:
    """Two models that one server loads on request."""
    small = model("small", ids={"ollama": ["small:latest"]}, builds={"q4_k_m": 2_500_000_000})
    first = model(ids={"ollama": ["phi4-mini:latest", "phi4-mini:3.8b-q8_0"]}, **changes)
    made = blueprint(first, small, agent("clerk", models=["phi-4-mini", "small"], reflex=[rule()]), name="desk")
    return replace(made, resources={"max_memory_usage": limit} if limit else {})


def server(make: str, loaded: set[str], context: int = 32_768, slots: int | None = None) -> ObservedServer:
    """It tells the context, and its slots, of what is loaded only."""
    models = tuple(
        ServedModel(
            name,
            kind="chat",
            loaded=name in loaded,
            size=size,
            context=context if name in loaded else None,
            slots=slots if name in loaded else None,
        )
        for name, size in SIZES.items()
    )
    return replace(ollama(), provider=make, models=models, capabilities={Capability.LOAD.value: "yes"})


def device(memory: int, others: int, held: int = 0) -> Device:
    return Device(memory, max(0, memory - others - held), 4)


@given(
    memory=st.integers(2, 24),
    others=st.integers(0, 6),
    limit=st.none() | st.integers(2, 12),
    window=st.none() | st.sampled_from([2048, 4096, 65_536]),
    loaded=st.sets(st.sampled_from(list(SIZES))),
)
def test_a_load_changes_nothing(
    memory: int, others: int, limit: int | None, window: int | None, loaded: set[str]
) -> None:
    """Neither what is chosen, nor whether it fits, nor the arithmetic, nor what other programs are said to hold; whoever loads it,
    and whatever its server tells of it then."""
    made = desk(limit * GB if limit else None, window=window)
    before = after(made, state(server("ollama", set()), device=device(memory * GB, others * GB)))
    used = [each.endpoints[0] for each in bind_all(made, before).values() if each.endpoints]
    there = {each.model: each.memory or 0 for each in used if each.model in loaded}
    room = max(0, memory - others) * GB
    while sum(there.values()) > room:  # no more can be loaded than has room
        there.popitem()
    here = device(memory * GB, others * GB, sum(there.values()))
    others_too = set(there) | (loaded - {each.model for each in used})
    now = replace(before, servers=(server("ollama", others_too, context=70_000),), device=here)
    assert str(diff(made, now)) == str(diff(made, before))


@pytest.mark.parametrize("make", ["ollama", "llama-cpp", "lm-studio"])
def test_what_is_told_only_while_it_is_loaded_is_no_other_server(make: str) -> None:
    """The context, and the slots; what a call gets is known all the same."""
    made = desk() if make == "ollama" else _as(desk(), make)
    before = after(made, state(server(make, set())))
    now = replace(before, servers=(server(make, set(SIZES), slots=4),))
    assert str(diff(made, now)) == str(diff(made, before)) == "desk runs as wanted: nothing to do"
    endpoint = bind_all(made, now)["small"].endpoints[0]
    assert (endpoint.context, endpoint.slots) == (32_768, 4)
    assert endpoint.memory == NEEDS["small:latest"] and endpoint.holds > 4 * endpoint.memory


def test_less_than_the_manifest_writes_is_told_once_it_is_known_and_is_no_other_server() -> None:
    """Only the loaded model shows it. The calls are held to it by then."""
    made = desk(window=65_536)
    before = after(made, state(server("ollama", set())))
    now = diff(made, replace(before, servers=(server("ollama", set(SIZES), context=32_768),)))
    assert now.empty and [note[:50] for note in now.notes] == ["phi-4-mini takes 32768 tokens a request, not the 6"]


def _as(made: Blueprint, make: str) -> Blueprint:
    elements = {
        address: replace(each, spec={**each.spec, "ids": {make: next(iter(each.spec["ids"].values()))}})
        if each.kind == "model"
        else each
        for address, each in made.elements.items()
    }
    return replace(made, elements=elements)


def test_what_is_more_than_it_should_take_is_told_while_it_is_loaded_too() -> None:
    """It was silent then, and another build was the best that fits."""
    made = desk()
    before = after(made, state(server("ollama", set()), device=device(3 * GB, 0)))
    (note, *_) = diff(made, before).notes
    assert note.startswith(
        "phi-4-mini needs 3.5 GB = 2.5 GB weights + 537 MB cache (4096 tokens assumed) + 479 MB server; "
    )
    for name in SIZES:
        now = replace(before, servers=(server("ollama", {name}),), device=device(3 * GB, 0, NEEDS[name]))
        assert diff(made, now).notes == diff(made, before).notes


@pytest.mark.parametrize("names", [("desk/own",), ("desk/own", "desk/own#2")])
def test_what_its_own_models_and_servers_hold_is_no_other_programs(names: tuple[str, ...]) -> None:
    """Of 16 GB others hold 6, the started server 5, and 5 are left for two models, before and after each of them is there; whether
    it is of one process or of two."""
    count, one = len(names), 5 * GB // len(names)
    made = desk(quantization="q4_k_m")
    whole = Prospect("desk/own", "llama-cpp", "llama-server", "d", ("x",), memory=one, instances=count)
    before = after(made, state(server("ollama", set()), device=device(16 * GB, 6 * GB), prospects={"desk/own": whole}))
    note = (
        "phi-4-mini 3.5 GB + small 3.5 GB are to be loaded beside own 5.0 GB, and 5.0 GB of memory are free for that: "
        "other programs hold 6.0 GB of 16.0 GB"
    )
    runs = {each: StartedServer(each, "llama-cpp", "d", "ready", pid=7, memory=one) for each in names}
    seen: list[tuple[ObservedState, str]] = [(before, "nothing")]
    for loaded in (set(), {"phi4-mini:latest"}, {"phi4-mini:latest", "small:latest"}):
        held = min(10 * GB, 5 * GB + sum(NEEDS[name] for name in loaded))
        here = replace(before, servers=(server("ollama", loaded),), started=runs)
        if held < 10 * GB:
            seen.append((replace(here, device=device(16 * GB, 6 * GB, held)), str(loaded)))
    rests = {name: replace(each, state="resting", rests=True, pid=0) for name, each in runs.items()}
    seen.append((replace(before, started=rests), "resting"))
    assert {how: [line for line in diff(made, each).notes if "to be loaded" in line] for each, how in seen} == {
        how: [note] for _, how in seen
    }
