"""``orchestrator models command``: the command that would start a model's server, and what became of each option."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import OrchestratorError, PlanError, UsageError

if TYPE_CHECKING:
    from orchestrator.app.launchers import Launchers
    from orchestrator.core.blueprint import Blueprint
    from orchestrator.deploy.server_records import ServerWant
    from orchestrator.plan.observed import Prospect
    from orchestrator.ports.lifecycle import Launch, LaunchOrder

PORT: Final = 8000
"""What is shown where the manifest leaves the port open."""
MOST: Final = 65535
SCENARIOS: Final = ("development", "staging", "production_low", "production_high", "enterprise")


@dataclass(frozen=True, slots=True)
class Asked:
    """A server that is to be shown: of this ``kind``, as it is ordered; ``why`` it would not be started on this device just now,
    with a ``cure``; ``never``: the manifest asks for something that cannot be had, so that no command is what it means. ``note``:
    what it asks for that is no part of the command."""

    kind: str
    order: LaunchOrder
    why: str = ""
    cure: str = ""
    never: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What is shown of one server: the launch, or why there is none; ``missing`` where its program is not installed."""

    alias: str
    kind: str
    launch: Launch | None = None
    version: str = ""
    missing: str = ""
    error: OrchestratorError | None = None

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        launch = self.launch
        return {
            "alias": self.alias,
            "provider": self.kind,
            "argv": list(launch.argv) if launch else [],
            "environment": dict(launch.environment) if launch else {},
            "notes": list(launch.notes) if launch else [],
            "version": self.version,
            "missing": self.missing,
            "error": self.error.as_json() if self.error else None,
        }


def command_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("target", metavar="ALIAS|FILE", help="a model's alias, or a manifest whose servers are shown")
    parser.add_argument("--scenario", choices=SCENARIOS, help="in place of the manifest's")
    parser.add_argument("--provider", metavar="KIND", help="only this kind of server, like llama-cpp")
    parser.add_argument("--path", metavar="PATH", help="the model's file or folder, for an alias")
    parser.add_argument(
        "--port", type=int, default=None, help=f"default: the manifest's, else {PORT} and those above it"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run_command(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print them; starts nothing. A server that cannot be had is an error once all are shown."""
    from orchestrator.app.launchers import Launchers

    if options.port is not None and not 1 <= options.port <= MOST:
        raise UsageError(f"--port {options.port} is no port", cure=f"write a number from 1 to {MOST}")
    launchers = Launchers(None, terminal.environment, terminal.tell)
    told = [_told(launchers, asked) for asked in _orders(options, terminal, launchers)]
    if options.json:
        import json

        terminal.say(json.dumps([each.as_json() for each in told], indent=2, ensure_ascii=False))
    else:
        terminal.say("\n\n".join(map(_shown, told)))
    errors = [each.error for each in told if each.error is not None]
    if errors and len(errors) == len(told):
        raise errors[0]
    return 0


def _orders(options: argparse.Namespace, terminal: Terminal, launchers: Launchers) -> Iterator[Asked]:
    if options.target == "-" or Path(options.target).suffix in (".yaml", ".yml"):
        yield from _of_manifest(options, terminal, launchers)
    else:
        yield from _of_alias(options)


def _of_manifest(options: argparse.Namespace, terminal: Terminal, launchers: Launchers) -> Iterator[Asked]:
    from orchestrator.app.compile import compile_files
    from orchestrator.app.device import read_device
    from orchestrator.deploy.prospects import wants_of

    compilation = compile_files([options.target], environment=terminal.environment, stdin=terminal.stdin)
    wants = wants_of(compilation.blueprint, _folder(), read_device())
    wants = [want for want in wants if options.provider in (None, want.kind)]
    if not wants:
        raise UsageError(
            "no model of this manifest has a server that is started", cure="give a model `server:`, or name an alias"
        )
    written = {want.order.port for want in wants}
    ports = (port for port in count(options.port or PORT) if port not in written)
    for want, prospect in _with_builds(compilation.blueprint, wants, launchers):
        one = len(wants) == 1 and options.port
        order = replace(want.order, port=one or want.order.port or next(ports))
        order = replace(order, scenario=options.scenario) if options.scenario else order
        absent = order.is_local and not Path(order.model).exists()
        never = bool(prospect.why) and not prospect.unfit and not absent
        yield Asked(want.kind, order, prospect.why, prospect.cure, never, want.wish.note if want.wish else "")


def _folder() -> Path:
    """Where servers may write that the runtime starts."""
    from orchestrator.cli.reach import client

    return client().folders.state / "models"


def _with_builds(
    blueprint: Blueprint, wants: list[ServerWant], launchers: Launchers
) -> list[tuple[ServerWant, Prospect]]:
    """Of a folder of builds the one that would be started on this device, or why none; whether its program is installed does not
    matter."""
    from orchestrator.app.device import read_device
    from orchestrator.deploy.prospects import look_at
    from orchestrator.plan.started import Neighbours, fitted

    def launch(kind: str, order: LaunchOrder) -> Launch:
        launcher = launchers.get(kind)
        return launcher.command(launchers.find(kind) or launcher.usual, order)

    looked = {want.name: look_at(want, launch, launchers.program(want.kind)) for want in wants}
    startables = {name: [each.startable for each in found] for name, found in looked.items()}
    chosen = fitted(blueprint, startables, Neighbours({}, (), read_device()))
    return [
        (each.want, chosen[name])
        for name, found in looked.items()
        for each in found
        if each.want.digest == chosen[name].digest
    ]


def _of_alias(options: argparse.Namespace) -> Iterator[Asked]:
    from orchestrator.app.catalog import LAUNCHERS
    from orchestrator.core.names import did_you_mean
    from orchestrator.deploy.server_records import file_name
    from orchestrator.manifest.catalogue.reader import find_model, near_models
    from orchestrator.ports.lifecycle import LaunchOrder

    if options.provider is not None and options.provider not in LAUNCHERS:
        cure = did_you_mean(options.provider, LAUNCHERS) or f"there are: {', '.join(LAUNCHERS)}"
        raise UsageError(f"no server of {options.provider} can be started", cure=cure)
    row = find_model(options.target)
    ids = row["ids"] if row else {}
    if row is None and not options.path and not set("/:") & set(options.target):
        cure = did_you_mean(options.target, near_models(options.target)) or "name an alias of the catalogue"
        raise UsageError(
            f'the catalogue has no model "{options.target}"',
            cure=f"{cure}; or give its file or folder (--path), or the id of a repository like org/name",
        )
    for kind in [options.provider] if options.provider else LAUNCHERS:
        named = str(Path(options.path).absolute()) if options.path else ids.get(kind, options.target)
        order = LaunchOrder(
            named,
            options.target,
            port=options.port or PORT,
            scenario=options.scenario,
            folder=str(_folder() / file_name(options.target)),
        )
        why = f"there is no file {named}" if options.path and not Path(named).exists() else ""
        order = replace(order, kind="embedding") if row and row["kind"] == "embedding" else order
        if kind == "llama-cpp" and not options.path:
            yield Asked(
                kind, order, "llama-server needs the model's file", "name the file of a build: --path FILE.gguf", True
            )
        else:
            yield Asked(kind, order, why)


def _told(launchers: Launchers, asked: Asked) -> Told:
    from orchestrator.app.launchers import install_line
    from orchestrator.manifest.checks.servers import FETCH

    kind, order = asked.kind, asked.order
    launcher, binary = launchers.get(kind), launchers.find(kind)
    missing = (
        "" if binary else f"{launcher.program} is not installed ({install_line(launcher)}); this is for a new version"
    )
    binary = binary or launcher.usual
    if kind in FETCH and order.model == order.alias and not set("/:") & set(order.model):
        message = f"nobody knows what {order.alias} is called where {launcher.program} fetches models"
        cure = f"name the id itself (orchestrator models command org/name --provider {kind}), or --path with its folder"
        return Told(order.alias, kind, None, binary.version, missing, PlanError(message, cure=cure))
    if asked.never:
        return Told(order.alias, kind, None, binary.version, missing, PlanError(asked.why, cure=asked.cure))
    try:
        launch = launcher.command(binary, order)
        also = (asked.note, f"it would not be started now: {asked.why}" if asked.why else "")
        notes = (*launch.notes, *filter(None, also))
        return Told(order.alias, kind, replace(launch, notes=notes), binary.version, missing)
    except OrchestratorError as error:
        return Told(order.alias, kind, None, binary.version, missing, error)


def _shown(told: Told) -> str:
    head = f"# {told.alias} by {told.kind}{f', {told.version}' if told.version else ''}"
    lines = [head, *([f"# {told.missing}"] if told.missing else [])]
    if told.error is not None:
        return "\n".join([*lines, f"# cannot be had: {told.error.message}", f"# cure: {told.error.cure}"])
    launch = cast("Launch", told.launch)
    variables = [f"{name}={shlex.quote(value)}" for name, value in sorted(launch.environment.items())]
    command = " ".join([*variables, shlex.join(launch.argv)])
    return "\n".join([*lines, *(f"# {note}" for note in launch.notes), command])
