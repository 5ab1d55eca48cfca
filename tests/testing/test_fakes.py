"""The fakes fit their ports and do what these promise."""

from __future__ import annotations

from orchestrator.core.event import Event
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.ports.sink import Sink
from orchestrator.ports.store import RunStore, SessionStore
from orchestrator.testing.fakes import ListSink, MemoryRuns, MemorySessions


def test_a_sink_keeps_events_by_kind() -> None:
    """Every event is kept, and those of a kind can be asked for."""
    sink = ListSink()
    port: Sink = sink
    events = [Event("run.started", 1.0), Event("run.finished", 2.0), Event("run.started", 3.0)]
    for event in events:
        port.take(event)
    assert sink.events == events
    assert sink.of("run.started") == [events[0], events[2]]


def test_sessions_are_kept_apart() -> None:
    """Turns belong to one session of one deployment."""
    store: SessionStore = MemorySessions()
    store.append("shop", "a", [Message("user", "hi")])
    store.append("shop", "a", [Message("assistant", "hello")])
    assert [turn.content for turn in store.load("shop", "a")] == ["hi", "hello"]
    assert store.load("shop", "b") == store.load("other", "a") == ()


def test_runs_are_found_by_a_unique_beginning() -> None:
    """A beginning that fits two runs finds none."""
    store: RunStore = MemoryRuns()
    store.keep([Result(name, "shop", 1, "completed", "") for name in ("run_a1", "run_a2", "run_b")], ["x", "y", "z"])
    found = store.find("run_b")
    assert found is not None
    assert found["request"] == "z"
    assert store.find("run_a") is store.find("run_c") is None
    assert [entry["id"] for entry in store.recent("shop", 2)] == ["run_b", "run_a2"]
    assert store.recent("other", 2) == []
