"""What a blueprint wants of servers that we start, and what starting each would be on this device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from orchestrator.core.blueprint import Blueprint, ServerSpec
from orchestrator.core.errors import OrchestratorError, PlanError
from orchestrator.deploy.server_records import ServerWant, file_name
from orchestrator.plan.observed import Prospect, server_name
from orchestrator.ports.lifecycle import Launch, LaunchOrder

LaunchOf = Callable[[str, LaunchOrder], Launch]
"""The command for a kind and an order. Raises ``DeployError`` where its program is not installed, with the line that
installs it, and ``PlanError`` for an option that cannot be had."""


def wants_of(blueprint: Blueprint, folders: Path) -> list[ServerWant]:
    """The servers that a blueprint wants; each may write to a folder of its own below ``folders``."""
    models = [each.spec for each in blueprint.of_kind("model") if each.spec["server"]]
    return [_want(blueprint.name, spec, folders) for spec in models]


def _want(deployment: str, spec: Any, folders: Path) -> ServerWant:
    server = cast(ServerSpec, spec["server"])
    name = server_name(deployment, spec["alias"])
    order = LaunchOrder(
        model=server["model"],
        alias=spec["alias"],
        host=server["host"],
        port=server["port"] or 0,
        kind=spec["kind"],
        scenario=cast(Any, server["scenario"]),
        options=dict(server["options"]),
        remote_code=server["remote_code"],
        folder=str(folders / file_name(name)),
    )
    return ServerWant(name, server["kind"], order, server["start_timeout"])


def prospect_of(want: ServerWant, launch: LaunchOf, program: str) -> Prospect:
    """What starting it would be. Looks at the disk and may ask a program for its options: not for the event loop."""
    told = Prospect(want.name, want.kind, program, want.digest)
    order = want.order
    if order.is_local and not Path(order.model).exists():
        return _cannot(told, f"there is no file {order.model}", "put the model there, or mend `path`")
    try:
        made = launch(want.kind, order)
    except OrchestratorError as error:
        return _cannot(told, error.message, error.cure, refused=isinstance(error, PlanError))
    except Exception as error:  # noqa: BLE001 - a fault of one launcher must not keep the others' servers down
        return _cannot(told, f"{program} cannot be looked at: {type(error).__name__}: {error}", "")
    return Prospect(**{**asdict(told), "command": made.argv, "notes": made.notes})


def _cannot(told: Prospect, why: str, cure: str, *, refused: bool = False) -> Prospect:
    return Prospect(**{**asdict(told), "why": why, "cure": cure, "refused": refused})
