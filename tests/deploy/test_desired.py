"""In which order deployments come back: who had the memory and the ports has them again."""

from __future__ import annotations

from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError
from orchestrator.deploy.desired import DesiredTable
from orchestrator.deploy.wanted import Wanted
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.ports.store import Revision
from tests.plan.parts import agent, blueprint

pytestmark = pytest.mark.anyio


def _not_kept(revision: Revision) -> Blueprint:
    raise DeployError(f"the sources of {revision.deployment} are not kept")


async def test_what_has_served_comes_back_first_and_of_that_what_was_applied_first(tmp_path: Path) -> None:
    """Whatever their names are: pinned models of the first leave the others what is left."""
    clock = count(1.0)
    with closing(open_stores(tmp_path / "state.db")) as stores:
        table = DesiredTable(stores.revisions, _not_kept, lambda: next(clock))
        for name in ("never", "late", "early"):
            desired = await table.record(Wanted(blueprint(agent("a"), name=name)))
            if name != "never":
                await table.serves(desired.revision)
        again = DesiredTable(stores.revisions, _not_kept, lambda: next(clock))
        await again.restore()
    assert [each.revision.deployment for each in again.all()] == ["late", "early", "never"]
