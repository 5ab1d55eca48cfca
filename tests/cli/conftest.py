"""A home of their own for the tests of the command line, and no model server but those that a test starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.testing.lifecycle.store import stored
from tests.cli.serving import served
from tests.cli.shop import PHI, QWEN, Shop


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State and configuration are in an empty folder, and no model server of this machine is looked for."""
    folder = tmp_path / "home"
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(folder))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    for name in ("NO_COLOR", "ORCHESTRATOR_DEBUG", "ORCHESTRATOR_PORT"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def shop(home: Path) -> Iterator[Shop]:
    """Two models are installed, one is loaded; two can be pulled."""
    store = stored(["llama3.2:1b", "nomic-embed-text"], [PHI, QWEN])
    store.loaded["llama3.2:1b"] = 4096
    with served(store) as url:
        yield Shop(store, url, {"ORCHESTRATOR_SERVERS": url, "HOME": str(home)})
