"""Tells people by the channels that a manifest names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.app import catalog
from orchestrator.core.errors import DeployError
from orchestrator.ports.people import Notice, Notifier, OpenNotifier
from orchestrator.ports.provider import Secret
from orchestrator.serve.engine import EngineTable


class Telling:
    """Opens a channel for each notice, so that a manifest that changed, or a secret that was set, counts at once."""

    def __init__(self, reveal: Callable[[str, Path], Secret], engines: EngineTable) -> None:
        self._reveal = reveal
        self._engines = engines

    async def tell(self, notice: Notice) -> None:
        """Tell one. Raises ``DeployError`` where it did not arrive, or where the deployment does not serve now."""
        await self._open(notice).tell(notice)

    def _open(self, notice: Notice) -> Notifier:
        blueprint = self._engines.get(notice.approval.deployment).deployment.blueprint
        options = blueprint.people.get("notify", {}).get(notice.channel)
        if options is None:
            raise DeployError(f"the manifest names no {notice.channel} for people any more")
        open_it: OpenNotifier = catalog.load("notifier", notice.channel)
        return open_it(options, lambda reference: self._reveal(reference, Path(blueprint.folder)).reveal())
