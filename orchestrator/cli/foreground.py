"""``apply --foreground``: the runtime in this process, for systemd and containers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from orchestrator.app import catalog
from orchestrator.app.runtime import Place, Runtime, run_until_stopped
from orchestrator.app.settings import Settings
from orchestrator.cli.view.progress import step_line
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.event import Event

if TYPE_CHECKING:
    from orchestrator.app.compile import Compilation
    from orchestrator.app.wiring import Planes
    from orchestrator.deploy.wanted import Wanted
    from orchestrator.plan.observed import ObservedState


Bring = Callable[["ObservedState"], bool]
"""Has what is missing brought into servers that answer; tells whether anything was."""


def serve(compilation: Compilation, wanted: Wanted, terminal: Terminal, bring: Bring | None = None) -> int:
    """Serve until a signal comes. ``bring`` is asked once its servers are started, as what they lack is known then. Raises
    ``OrchestratorError`` where it cannot start or the manifest cannot be applied."""
    host = catalog.load("host", "local")()
    os.umask(0o077)
    place = Place(host, host.folders(), Settings.read(terminal.environment), foreground=True)
    failed: list[OrchestratorError] = []

    async def apply(planes: Planes) -> None:
        try:
            applied = await planes.reconciler.apply(wanted, _tell)
            if bring is not None and await _beside(bring, await planes.reconciler.observe(compilation.blueprint)):
                applied = await planes.reconciler.apply(wanted, _tell)
        except OrchestratorError as error:
            failed.append(error)
            runtime.stop(0.0)
        else:
            terminal.say(f"{compilation.blueprint.name} runs, revision {applied.revision}; a signal ends it")
            terminal.stdout.flush()

    def _tell(event: Event) -> None:
        fields: Any = event.fields
        if fields.get("state") in ("done", "failed"):
            terminal.tell(step_line(fields, 0))

    runtime = Runtime(place, apply)
    run_until_stopped(runtime)
    if failed:
        raise failed[0]
    return 0


async def _beside(bring: Bring, observed: ObservedState) -> bool:
    """In a thread that nobody waits for at the end: a signal ends the runtime also in the middle of a pull, whose server keeps
    what had come."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[bool] = loop.create_future()

    def told(any_: bool, error: Exception | None) -> None:
        if came.done():  # whoever waited was cancelled
            return
        if error is None:
            came.set_result(any_)
        else:
            came.set_exception(error)

    def work() -> None:
        try:
            found, error = bring(observed), None
        except Exception as raised:  # noqa: BLE001 - it is raised again, where it is waited for
            found, error = False, raised
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(told, found, error)

    threading.Thread(target=work, name="pull", daemon=True).start()
    return await came
