"""Reaching the background runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.app.client import RuntimeClient
    from orchestrator.cli.view.terminal import Terminal
    from orchestrator.core.blueprint import Blueprint
    from orchestrator.plan.observed import ObservedState


def client() -> RuntimeClient:
    """A client of this user's runtime, whether it runs or not."""
    from orchestrator.app.client import RuntimeClient
    from orchestrator.plugins.hosts.local import LocalHost

    return RuntimeClient(LocalHost().folders())


def observed(blueprint: Blueprint, terminal: Terminal) -> ObservedState:
    """What is there: as the runtime sees it, else as this process does. Starts nothing."""
    runtime = client()
    if runtime.answers():
        return runtime.observe(blueprint)
    from orchestrator.app.settings import Settings
    from orchestrator.app.wiring import observe_in_process

    state: ObservedState = observe_in_process(
        blueprint, Settings.read(terminal.environment), runtime.folders.state / "in-process"
    )
    return state


def seconds(text: str) -> float:
    """A duration of the command line; raises ``UsageError``."""
    from orchestrator.core.quantity import parse_duration

    try:
        return float(text) if text.replace(".", "", 1).isdecimal() else parse_duration(text)
    except ValueError as error:
        raise UsageError(str(error), cure="write it like 30s or 2m") from error
