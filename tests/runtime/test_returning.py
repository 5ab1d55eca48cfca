"""What a plan says while no runtime runs: the truth about what is applied, which the next runtime brings back."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.app.start import stop_runtime
from orchestrator.plugins.hosts.local import LocalHost
from orchestrator.plugins.stores.sqlite import open_stores
from tests.cli.commands import Ran, apart
from tests.runtime.living import Home

SHOP = """\
metadata: {name: shop}
deployment:
  type: single-device
  tools: [{name: hours, python: 'shop:hours'}]
  agents:
    - {name: a, tools: [hours], reflex: [{call: hours.hours, say: '{{ result }}'}]}
    - {name: b, keywords: [bye], reflex: [{say: bye}]}
"""
CODE = "def hours() -> str:\n    '''Opening hours.'''\n    return 'nine to five'\n"


@pytest.fixture
def folder(home: Home, tmp_path: Path) -> Path:
    """A folder with a manifest that is applied, and whose runtime was killed."""
    (tmp_path / "shop.yaml").write_text(SHOP)
    (tmp_path / "shop.py").write_text(CODE)
    home.start()
    ran = apart("apply", "shop.yaml", folder=tmp_path)
    assert ran.code == 0, ran.err
    home.kill()
    return tmp_path


def _plan(folder: Path, *words: str) -> Ran:
    ran = apart("plan", "shop.yaml", *words, folder=folder)
    assert ran.code == 0, ran.err
    return ran


def test_what_is_applied_and_only_lacks_its_runtime_is_not_to_be_added(folder: Path, home: Home) -> None:
    """Neither after a kill nor after a stop; and it starts nothing."""
    told = [
        "shop is applied as wanted: nothing to do",
        "note: no runtime runs: apply starts one, which first brings back revision 1 (orchestrator runtime start too)",
    ]
    assert _plan(folder).out.splitlines()[:2] == told
    plan = json.loads(_plan(folder, "--format", "json").out)
    assert (plan["empty"], plan["returning"]) == (True, 1)
    assert home.left_over() == []
    home.start()
    assert _plan(folder).out.startswith("shop runs as wanted: nothing to do\n")
    assert stop_runtime(LocalHost())
    assert _plan(folder).out.splitlines()[:2] == told
    dry = apart("apply", "shop.yaml", "--dry-run", folder=folder)
    assert dry.code == 0 and dry.out.splitlines()[:2] == told


def test_only_what_the_manifest_changes_is_in_the_plan(folder: Path, home: Home) -> None:
    """The same steps as with a runtime."""
    (folder / "shop.yaml").write_text(SHOP.partition("    - {name: b")[0])
    [summary, note, *_] = [line for line in _plan(folder).out.splitlines() if not line.startswith("  ")]
    assert summary.startswith("plan for shop: ") and "brings back revision 1" in note
    steps = json.loads(_plan(folder, "--format", "json").out)["steps"]
    assert "agent.b" in [step["address"] for step in steps] and "agent.a" not in [step["address"] for step in steps]
    home.start()
    assert json.loads(_plan(folder, "--format", "json").out)["steps"] == steps


def test_another_manifest_of_that_name_is_refused_without_a_runtime_too(folder: Path) -> None:
    """As apply would."""
    (folder / "other.yaml").write_text(SHOP)
    ran = apart("plan", "other.yaml", folder=folder)
    assert ran.code == 4 and "already applied from" in ran.err
    named = apart("plan", "other.yaml", "--name", "second", folder=folder)
    assert named.code == 0 and " 0 to change, 0 to remove" in named.out and "no runtime runs" not in named.out


def test_a_revision_that_cannot_be_read_is_told(folder: Path, home: Home) -> None:
    """What an apply then does is a first apply."""
    opened = open_stores(home.folders.state / "state.db")
    [revision] = opened.revisions.desired()
    opened.revisions.add(replace(revision, number=2, blueprint={"format": 0}, sources={}))
    opened.close()
    told = _plan(folder).out
    assert "revision 2, which is applied, cannot be read (the sources of shop are not kept): apply replaces it" in told
    assert "take requests (the manifest adds it)" in told


def test_a_state_that_is_lost_is_no_empty_one(folder: Path, home: Home) -> None:
    """A plan of it would be a plan for a runtime that does not start."""
    state = home.folders.state
    with sqlite3.connect(state / "state.db") as connection:
        connection.execute("UPDATE revision SET digest = 'forged'")
    connection.close()
    assert _plan(folder).out.startswith("shop is applied as wanted")  # its copy holds it
    (state / "state.db.desired.json").unlink()
    ran = apart("plan", "shop.yaml", folder=folder)
    assert ran.code == 4 and "--set-aside" in ran.err
