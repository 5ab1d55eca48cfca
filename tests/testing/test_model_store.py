"""The store of a simulated server keeps its promises whatever is done with it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.testing.endpoint import simulated
from orchestrator.testing.lifecycle.store import FAULTS, ModelStore, StoredModel, StoreFault

GB = 10**9
MODELS = {name: StoredModel(name, size * GB) for name, size in (("a", 1), ("b", 2), ("c", 3), ("d", 5))}
ACTS = st.tuples(
    st.sampled_from(["load", "unload", "pull", "leave", "remove", "wait", "busy", "free"]), st.sampled_from("abcd")
)


@given(st.lists(st.one_of(ACTS, st.tuples(st.just("arm"), st.sampled_from(sorted(FAULTS)))), max_size=40))
def test_no_order_of_acts_breaks_a_limit(acts: list[tuple[str, str]]) -> None:
    """Memory and disk hold no more than they can, nothing is loaded that is not installed, nothing comes beyond its size."""
    store = ModelStore({"a": MODELS["a"], "b": MODELS["b"]}, dict(MODELS), disk=8 * GB, memory=4 * GB, load_time=1.0)
    now = 0.0
    for act, name in acts:
        now += 0.6
        store.settle(now)
        with contextlib.suppress(StoreFault):
            do(store, act, name, now)
        there = {*store.loaded, *store.loading}
        assert there <= set(store.installed)
        assert sum(store.installed[each].size for each in there) <= 4 * GB
        assert sum(model.size for model in store.installed.values()) <= 8 * GB
        assert all(come <= MODELS[each].size for each, come in store.came.items())


def do(store: ModelStore, act: str, name: str, now: float) -> None:
    if act == "pull":
        _ = list(store.pulling(name))
        store.install(name)
    elif act == "leave":
        next(store.pulling(name), None)
    elif act == "load":
        store.load(name, 4096, now)
    elif act in ("unload", "remove"):
        getattr(store, act)(name)
    elif act == "busy":
        store.busy.add(name)
    elif act == "free":
        store.busy.discard(name)
    elif act == "arm":
        store.arm(name)


def test_a_busy_model_leaves_when_it_rests() -> None:
    """Not before, and by itself."""
    store = ModelStore(dict(MODELS), {})
    store.load("a", 4096, 0.0)
    store.busy.add("a")
    store.unload("a")
    assert "a" in store.loaded
    store.busy.clear()
    store.settle(1.0)
    assert "a" not in store.loaded


def test_the_faults_of_an_endpoint_and_of_its_store_are_armed_alike() -> None:
    """A fault of the store strikes no request; a wrong name is told with the nearest."""
    endpoint = simulated(["m"])
    endpoint.arm("pull-cut", "server-error")
    assert endpoint.store._armed == ["pull-cut"]
    with pytest.raises(ValueError, match="pull-cut"):
        endpoint.store.arm("pull-cutt")
