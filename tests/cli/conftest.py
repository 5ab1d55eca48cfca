"""A home of their own for the tests of the command line, and no model server but those that a test starts."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State and configuration are in an empty folder, and no model server of this machine is looked for."""
    folder = tmp_path / "home"
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(folder))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    for name in ("NO_COLOR", "ORCHESTRATOR_DEBUG", "ORCHESTRATOR_PORT"):
        monkeypatch.delenv(name, raising=False)
    return folder
