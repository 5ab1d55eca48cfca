"""Whose event is it? The loop of calls knows runs and endpoints, not deployments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from orchestrator.core.event import Event

_MOST_RUNS: Final = 20_000
"""Runs that are remembered at once; far more than can be in work."""


class Owners:
    """Gives events of runs and endpoints their deployment. ``users`` names, for an endpoint, the deployments that use it."""

    def __init__(self, users: Callable[[str], list[str]]) -> None:
        self._users = users
        self._runs: dict[str, tuple[str, int]] = {}

    def of(self, event: Event) -> list[Event]:
        """The event once for each deployment that it belongs to; as it is where that is none."""
        if event.deployment:
            self._remember(event)
            return [event]
        if event.run in self._runs:
            deployment, revision = self._runs[event.run]
            return [replace(event, deployment=deployment, revision=revision)]
        users = self._users(_endpoint(event.fields))
        return [replace(event, deployment=name) for name in users] or [event]

    def _remember(self, event: Event) -> None:
        if event.kind == "run.started" and len(self._runs) < _MOST_RUNS:
            self._runs[event.run] = (event.deployment, event.revision)
        elif event.kind == "run.finished":
            self._runs.pop(event.run, None)


def _endpoint(fields: Mapping[str, object]) -> str:
    return str(fields.get("endpoint", ""))
