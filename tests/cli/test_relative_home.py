"""A home that is written relative to the working folder."""

from __future__ import annotations

from pathlib import Path

from tests.cli.commands import apart

SHOP = "deployment: {type: single-device, agents: [{name: a, reflex: [{say: hello}]}]}\n"


def test_the_runtime_finds_the_home_of_the_command_that_starts_it(tmp_path: Path) -> None:
    """It stands in another folder: else it made a home of its own there, where no verb finds it."""
    (tmp_path / "shop.yaml").write_text(SHOP)
    relative = {"ORCHESTRATOR_HOME": "at/home"}
    try:
        applied = apart("apply", "shop.yaml", folder=tmp_path, environment=relative)
        assert applied.code == 0, applied.err
        (tmp_path / "elsewhere").mkdir()
        there = {"ORCHESTRATOR_HOME": "../at/home"}
        assert apart("run", "shop", "hi", folder=tmp_path / "elsewhere", environment=there).out == "hello\n"
        assert sorted(path.name for path in (tmp_path / "at" / "home").iterdir()) == ["config", "state"]
    finally:
        assert apart("runtime", "stop", folder=tmp_path, environment=relative).code == 0
