"""Going back: to what serves where the wanted revision does not, and else to what served before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError
from orchestrator.deploy.status import status
from orchestrator.plugins.stores.memory import MemoryRevisions
from tests.deploy.fakes import Stage, stage
from tests.plan.parts import agent, blueprint, tool

pytestmark = pytest.mark.anyio

BROKEN = ("mail", "calendar")


def with_tool(name: str) -> Blueprint:
    """One agent with this tool."""
    return blueprint(tool(name), agent("a", tools=[name]))


async def fails(s: Stage, name: str) -> None:
    """Apply a revision whose tool does not open."""
    with pytest.raises(DeployError, match=f"{name} does not open"):
        await s.apply(with_tool(name))


async def back(s: Stage) -> tuple[str, str, int, int | None]:
    """Go back; gives the state, the cause of the newest revision, and which one is wanted and serves."""
    await s.reconciler.rollback("kiosk", None, lambda _: None)
    [told] = status(s.reconciler)
    return told["state"], s.store.history("kiosk")[0].cause, told["revision"], told["serving"]


async def test_however_many_applies_failed_it_goes_back_to_what_serves(tmp_path: Path) -> None:
    """Never from one broken revision to the other; the next time to what served before, never to one that did not."""
    async with stage(tmp_path, broken=BROKEN) as s:
        await s.apply(with_tool("clock"))
        await s.apply(with_tool("tickets"))
        serving = s.plane.serving["kiosk"].deployment.tools
        for name in BROKEN:
            await fails(s, name)
        assert await back(s) == ("running", "rollback to 2", 5, 5)
        assert s.plane.serving["kiosk"].deployment.tools == serving
        assert await back(s) == ("running", "rollback to 1", 6, 6)


async def test_it_goes_back_to_what_serves_after_a_start_too(tmp_path: Path) -> None:
    """What served last is on the disk, and so is what has ever served."""
    store = MemoryRevisions()
    async with stage(tmp_path, store, broken=BROKEN) as s:
        await s.apply(with_tool("clock"))
        await s.apply(with_tool("tickets"))
        for name in BROKEN:
            await fails(s, name)
    async with stage(tmp_path, store, broken=BROKEN) as s:
        assert await back(s) == ("running", "rollback to 2", 5, 5)
    async with stage(tmp_path, store, broken=BROKEN) as s:
        assert await back(s) == ("running", "rollback to 1", 6, 6)


async def test_where_nothing_ever_served_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    """It says so, with the revisions that there are."""
    async with stage(tmp_path, broken=BROKEN) as s:
        for name in BROKEN:
            await fails(s, name)
        with pytest.raises(DeployError, match=r"^kiosk has no revision to go back to that has served; it has 1 to 2$"):
            await s.reconciler.rollback("kiosk", None, lambda _: None)
