"""What stands on the board: it comes back as it was written, also where it is large, and what is broken is told."""

from __future__ import annotations

import base64
import lzma
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.app.compile import compile_files
from orchestrator.core.errors import NotUnderstood
from orchestrator.node import desired as module
from orchestrator.node.desired import LARGE, Assigned, Desired
from orchestrator.plan.placement import Assignment, Place
from orchestrator.plugins.buses.nats_buckets import LARGEST_VALUE

TEMPLATES = ("customer-service", "scheduling", "technical-support", "documentation")


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.text() | st.integers()), st.sampled_from([1, 40, 2000]))
def test_a_manifest_comes_back_as_it_was_written_whatever_its_size(part: dict[str, str | int], times: int) -> None:
    """Small ones are plain JSON that a person can read."""
    wanted = Desired(7, {"elements": [part] * times}, "signed")
    written = wanted.written()
    assert Desired.read(written) == wanted
    assert written.decode().startswith("{") or times > 1
    assert len(written) < LARGE or written.startswith(b"x")


def test_a_fleet_of_fifty_nodes_with_two_hundred_agents_of_templates_fits_on_the_board(tmp_path: Path) -> None:
    """Two megabytes of it, of which most is the same again and again."""
    nodes = []
    for node in range(50):
        agents = ", ".join(f"{{name: a{node}-{n}, template: {TEMPLATES[n]}}}" for n in range(4))
        nodes.append(f"    - {{id: n{node}, agents: [{agents}], models: [phi-4-mini]}}")
    text = "\n".join(["deployment:", "  type: distributed-edge", "  nodes:", *nodes])
    (tmp_path / "large.yaml").write_text(text)
    blueprint = compile_files([str(tmp_path / "large.yaml")], environment=os.environ).blueprint
    wanted = Desired(1, blueprint.as_json())
    assert len(wanted.written()) < LARGEST_VALUE / 16
    assert Desired.read(wanted.written()) == wanted


def test_an_assignment_of_five_thousand_agents_fits_too() -> None:
    places = {
        f"agent-{n}": (Place(f"node-{n % 1000}", "phi-4-mini", "the manifest names it there"),) for n in range(5000)
    }
    assigned = Assigned(3, 1004, Assignment(places, {}))
    assert len(assigned.written()) < LARGEST_VALUE / 16 and Assigned.read(assigned.written()) == assigned


BROKEN = {
    "no base64": b"x!!!",
    "nothing that was compressed": b"x" + base64.b64encode(b"hello"),
    "cut off": b"x" + base64.b64encode(lzma.compress(b'{"generation": 1}' * 500)[:-9]),
    "nothing": b"x",
    "no JSON": b"x" + base64.b64encode(lzma.compress(b"hello")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_entry_that_is_broken_is_told_and_not_taken(name: str) -> None:
    with pytest.raises(NotUnderstood, match="the manifest on the board is broken"):
        Desired.read(BROKEN[name])


def test_an_entry_that_would_unpack_to_more_than_it_may_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes of a broken hub must not fill the memory of every node."""
    written = Desired(1, {"elements": ["x"] * 50 * LARGE}).written()
    assert len(written) < 5000 and Desired.read(written).generation == 1
    monkeypatch.setattr(module, "MOST", 3 * 1024 * 1024 - 1)
    with pytest.raises(NotUnderstood):
        Desired.read(written)
