"""A place for a tool to live in."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.ports.tool import ToolPlace


@pytest.fixture
def place(tmp_path: Path) -> ToolPlace:
    """Two empty folders: the tool's own, and the manifest's."""
    state, folder = tmp_path / "state", tmp_path / "manifest"
    state.mkdir(mode=0o700)
    folder.mkdir()
    return ToolPlace(state, folder)
