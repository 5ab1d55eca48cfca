"""A deployment that is served by one runtime after another, in this process: nothing is left of one but what is on the disk."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from orchestrator.app.compile import compile_files
from orchestrator.app.redact import Redactor
from orchestrator.app.settings import Settings
from orchestrator.app.wiring import Planes, Plugins, Stores, make_workshop, run_planes
from orchestrator.core.request import Request, Result
from orchestrator.deploy.wanted import Wanted
from orchestrator.plugins.stores.sqlite import open_stores


@asynccontextmanager
async def life(state: Path) -> AsyncIterator[Planes]:
    """One life of a runtime over this state folder, from its start until it is gone, with all that was applied restored."""
    settings = Settings.read(os.environ)
    kept = open_stores(state / "state.db", recover=True)
    plugins = Plugins()
    stores = Stores(kept.revisions, kept.sessions, kept.people, kept.outbox, kept.outcomes, kept.spending, kept.marks)
    try:
        workshop = make_workshop(plugins, settings, state, Redactor())
        async with run_planes(workshop, stores, settings, lambda _: None) as planes:
            await planes.reconciler.restored.wait()
            yield planes
            await planes.reconciler.close(5.0)
    finally:
        await plugins.aclose()
        kept.close()


async def applied(planes: Planes, path: Path) -> None:
    """Serve this manifest."""
    await planes.reconciler.apply(Wanted(compile_files([str(path)], environment={}).blueprint), lambda _: None)


async def asked(planes: Planes, name: str, text: str, **fields: Any) -> Result:
    """What the deployment answers."""
    return await planes.engines.get(name).run(Request(text, **fields))
