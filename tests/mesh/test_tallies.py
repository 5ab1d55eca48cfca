"""What a node counts as the fault of the manifest that it serves, where it has more to do than it can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.app.compile import compile_files
from orchestrator.app.fleet.worker import EngineWorker
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.request import Result
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.node.tallies import Tallies
from orchestrator.plan.rolling import worse
from orchestrator.plan.share import bears_as_much, share_of
from orchestrator.serve.engine import EngineTable

MANIFEST = """\
metadata: {name: fl}
deployment:
  type: distributed-edge
  models: [{alias: m, provider: openai-compatible, model: m, endpoint: "http://127.0.0.1:9", max_concurrent: 4}]
  nodes:
    - {id: a, agents: [{name: desk, model: m, instructions: Answer., examples: [a bill]}]}
    - {id: b, agents: [{name: till, model: m, instructions: Answer.}]}
  coordination: {health_gate: 60s}
"""


def _compiled(folder: Path, text: str) -> Blueprint:
    path = folder / "fl.yaml"
    path.write_text(text)
    return compile_files([str(path)], environment={}).blueprint


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("desk, model: m, instructions: Answer.", "desk, model: m, instructions: Answer in rhymes.", True),
        ("examples: [a bill]", "examples: [a bill, a receipt], description: Bills.", True),
        ("health_gate: 60s", "health_gate: 3s", True),
        ("max_concurrent: 4", "max_concurrent: 1", False),
        ("examples: [a bill]", "examples: [a bill], max_tokens: 900", False),
        ("coordination:", "queue: {interactive: {length: 1}}\n  coordination:", False),
        ("coordination:", "resources: {max_concurrent_agents: 1}\n  coordination:", False),
    ],
)
def test_a_node_bears_as_much_by_a_manifest_that_differs_in_words(
    before: str, after: str, same: bool, tmp_path: Path
) -> None:
    old, new = (_compiled(tmp_path, text) for text in (MANIFEST, MANIFEST.replace(before, after)))
    assert bears_as_much(*(share_of(each, "a", ["desk"]) for each in (old, new))) is same


def test_a_node_that_holds_one_agent_more_bears_less_of_each(tmp_path: Path) -> None:
    whole = _compiled(tmp_path, MANIFEST)
    one, two = (share_of(whole, "a", agents) for agents in (["desk"], ["desk", "till"]))
    assert bears_as_much(one, one) and not bears_as_much(one, two)


def _noted(tallies: Tallies, *, fine: int, failed: int = 0, full: int = 0) -> None:
    for _ in range(fine):
        tallies.note(10.0, failed=False)
    for _ in range(failed):
        tallies.note(10.0, failed=True)
    for _ in range(full):
        tallies.note(1.0, failed=True, full=True)


@pytest.mark.parametrize(
    ("can_do_less", "failed", "bad"),
    [(False, 0, False), (True, 0, True), (False, 3, True)],
)
def test_being_full_speaks_against_a_manifest_only_where_a_node_can_do_less_by_it(
    can_do_less: bool, failed: int, bad: bool
) -> None:
    """A fleet that is asked for twice what it can do, as before: 9 of 54 found no room, and 8 of 9 since. Real failures count
    whatever else it is."""
    tallies = Tallies(generation=1)
    _noted(tallies, fine=45, full=9)
    tallies.serves(2, can_do_less=can_do_less)
    _noted(tallies, fine=1, failed=failed, full=8)
    assert bool(worse(tallies.before, tallies.since)) is bad


def test_what_was_full_before_excuses_no_failure_since() -> None:
    """The two are compared alike: neither counts it, or both do."""
    tallies = Tallies(generation=1)
    _noted(tallies, fine=40, full=60)
    tallies.serves(2, can_do_less=False)
    assert (tallies.before.requests, tallies.before.errors) == (40, 0)
    _noted(tallies, fine=20, failed=4)
    assert worse(tallies.before, tallies.since).startswith("4 of 24 requests failed since")
    tallies.serves(3, can_do_less=True)
    assert (tallies.before.requests, tallies.before.errors) == (24, 4)


@pytest.mark.parametrize(
    ("kind", "counted"), [("QueueFull", 0), ("WouldMissDeadline", 0), ("FleetBusy", 0), ("ModelNotFound", 1)]
)
def test_which_faults_say_that_a_node_is_full(kind: str, counted: int) -> None:
    worker = EngineWorker("fl", "a", cast(Reconciler, None), EngineTable())
    tallies: Any = worker._tallies
    tallies.serves(2, can_do_less=False)
    failed = Result("run_1", "fl", 1, "failed", "", error={"kind": kind, "code": "ORC503", "message": "m"})
    worker.note(failed)
    worker.note(replace(failed, node="b"))
    assert (tallies.since.requests, tallies.since.errors) == (counted, counted)
