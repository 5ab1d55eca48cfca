"""What tools keep for a deployment in one process is its user's alone, whatever the umask of that process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import orchestrator

SHOP = """\
metadata: {name: shop}
deployment: {type: single-device, tools: [calendar], agents: [{name: a, tools: [calendar], reflex: [{say: hello}]}]}
"""


pytestmark = pytest.mark.anyio


async def test_its_folders_may_be_entered_by_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of each deployment and of each tool too."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    (tmp_path / "shop.yaml").write_text(SHOP)
    before = os.umask(0o022)
    try:
        async with orchestrator.open(tmp_path / "shop.yaml") as shop:
            assert (await shop.run("hi")).text == "hello"
    finally:
        os.umask(before)
    folders = [path for path in (tmp_path / "home" / "state" / "in-process").rglob("*") if path.is_dir()]
    assert len(folders) >= 2
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in folders} == {"0o700"}
