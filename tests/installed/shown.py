"""Comparing what a probe of a real server finds with a lock file of ``tests/shown``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.app.probing import Wish, probe
from orchestrator.plan.capabilities import Record, differences, lock_text, read_lock
from tests.providers.opened import open_all

FOLDER = Path(__file__).parents[1] / "shown"


async def compare_with_lock(urls: Sequence[str], name: Path, *, model: str = "", deep: bool = False) -> None:
    """Probe the servers at ``urls`` and require what the file says; ``ORCHESTRATOR_GOLDEN=write`` writes it."""
    providers = open_all()
    outcome = await probe(Wish(tuple(urls), model, deep=deep), providers)
    for provider in providers:
        await provider.aclose()
    assert outcome.left_out == {}
    found = [Record.of(each) for each in outcome.probed]
    file = FOLDER / name
    if os.environ.get("ORCHESTRATOR_GOLDEN") == "write":
        file.write_text(lock_text(found), encoding="utf-8")
    assert differences(read_lock(file.read_text(encoding="utf-8")), found) == []
