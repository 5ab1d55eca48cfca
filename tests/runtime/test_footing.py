"""Files are removed under a runtime that lives: by somebody who cleans up, or by whoever deletes the home to begin anew."""

from __future__ import annotations

import shutil
import stat

import pytest

from orchestrator.app.client import RuntimeClient
from orchestrator.app.lock import RuntimeLock
from orchestrator.core.errors import AnotherRuns
from orchestrator.deploy.wanted import Wanted
from tests.plan.parts import agent, blueprint, rule
from tests.runtime.living import Home, eventually

SHOP = blueprint(agent("a", reflex=[rule("hello")]), name="shop")


def _served(client: RuntimeClient) -> list[str]:
    return [each["name"] for each in client.status()["deployments"]]


def test_a_removed_socket_file_is_made_anew(home: Home) -> None:
    """The same process answers there again, with what it serves."""
    client = home.start()
    client.apply(Wanted(SHOP))
    socket = home.folders.runtime / "orchestrator.sock"
    socket.unlink()
    eventually(lambda: client.state() == "ready")
    assert _served(client) == ["shop"] and client.about()["pid"] == home.processes[-1].pid
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert home.stop() == 0 and not socket.exists()


def test_a_removed_lock_is_taken_anew(home: Home) -> None:
    """So that no second runtime begins beside it; the whole folder may be gone."""
    client = home.start()
    folder = home.folders.runtime
    same = folder == home.folders.state
    for each in [folder / "runtime.lock", folder / "orchestrator.sock", folder / "runtime.json"] if same else []:
        each.unlink()
    if not same:
        shutil.rmtree(folder)
    eventually(lambda: client.state() == "ready")
    with pytest.raises(AnotherRuns):
        RuntimeLock(folder).take()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and home.stop() == 0


def test_a_runtime_whose_lock_another_one_took_ends_and_leaves_that_one_alone(home: Home) -> None:
    """It says why, and removes nothing that is not its own any more."""
    home.start()
    (home.folders.runtime / "runtime.lock").unlink()
    other = RuntimeLock(home.folders.runtime)
    other.take()
    eventually(lambda: home.processes[-1].poll() is not None)
    assert "another runtime of this user runs already" in home.said()
    assert (home.folders.runtime / "runtime.lock").exists()
    other.free()


def test_a_runtime_whose_home_was_deleted_ends(home: Home) -> None:
    """Nothing is left that no command could reach any more, and the next runtime begins with nothing."""
    home.start().apply(Wanted(SHOP))
    with home.said_file() as said:
        shutil.rmtree(home.path)
        eventually(lambda: home.processes[-1].poll() is not None)
        assert home.processes[-1].returncode == 0
        assert "this runtime ends: its state was removed" in said.read()
    assert _served(home.start()) == []
