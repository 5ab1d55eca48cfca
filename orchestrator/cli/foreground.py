"""``apply --foreground``: the runtime in this process, for systemd and containers."""

from __future__ import annotations

import os
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


def serve(compilation: Compilation, wanted: Wanted, terminal: Terminal) -> int:
    """Serve until a signal comes. Raises ``OrchestratorError`` where it cannot start or the manifest cannot be applied."""
    host = catalog.load("host", "local")()
    os.umask(0o077)
    place = Place(host, host.folders(), Settings.read(terminal.environment), foreground=True)
    failed: list[OrchestratorError] = []

    async def apply(planes: Planes) -> None:
        try:
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
