"""Reaching the background runtime."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import UsageError
from orchestrator.ports.host import DATABASE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.app.client import RuntimeClient
    from orchestrator.app.compile import Compilation
    from orchestrator.app.fleet.local import LocalFleet
    from orchestrator.cli.places import Places
    from orchestrator.cli.view.terminal import Terminal
    from orchestrator.core.blueprint import Blueprint
    from orchestrator.core.errors import RuntimeUnavailable
    from orchestrator.plan.observed import ObservedState
    from orchestrator.plan.plan import Plan

APPLY: Final = "orchestrator apply FILE starts one"
ENDED: Final = "the runtime (process {pid}) ended without being stopped"


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """Seconds that something may take, counted from ``since`` (of ``time.monotonic``); ``inf`` where there is no limit."""

    seconds: float
    since: float

    @classmethod
    def from_now(cls, text: str | None) -> TimeLimit:
        """As it stands on the command line. Raises ``UsageError``."""
        return cls(patience(text) or inf, time.monotonic())

    @property
    def ends(self) -> float:
        """When it is over."""
        return self.since + self.seconds

    @property
    def timeout(self) -> float | None:
        """The seconds, ``None`` where there is no limit."""
        return None if self.seconds == inf else self.seconds


def client(terminal: Terminal | None = None) -> RuntimeClient:
    """A client of this user's runtime, whether it runs or not. Makes no folder: to look changes nothing. Where the runtime
    lets wait, a person at the ``terminal`` is told."""
    from orchestrator.app.client import RuntimeClient
    from orchestrator.plugins.hosts.local import LocalHost

    folders = LocalHost().folders(make=False)
    if terminal is None or not terminal.stderr.isatty():
        return RuntimeClient(folders)
    return RuntimeClient(folders, tell=terminal.tell)


def started(terminal: Terminal) -> RuntimeClient:
    """A client of the background runtime, which is started where none runs."""
    from orchestrator.app.start import ensure_runtime
    from orchestrator.plugins.hosts.local import LocalHost

    found = client(terminal)
    if found.answers():
        return found
    began = time.monotonic()
    ensure_runtime(LocalHost(), terminal.environment)
    terminal.tell(f"started the background runtime in {time.monotonic() - began:.1f} s")
    return found


def client_of(name: str, terminal: Terminal | None = None, node: str = "") -> RuntimeClient:
    """A client of the runtime that serves a deployment: this user's, or where all nodes of a fleet run here (``apply --local``)
    that of the ``node``, without one its hub's; where that does not run, the next that does, which is told. Raises ``UsageError``
    for a node that is not there."""
    usual = client(terminal)
    if node and not name:
        raise UsageError(
            f"--node {node} needs the name of a deployment", cure="`orchestrator status` shows their names"
        )
    fleet = local_fleet(name, usual)
    if fleet is None:
        if node:
            cure = "leave --node out; on another machine, type it there"
            raise UsageError(f"{name} does not run with all of its nodes on this machine", cure=cure)
        return usual
    if node and node not in fleet.nodes:
        raise UsageError(f'{name} has no node "{node}" here', cure=f"its nodes are {', '.join(fleet.nodes)}")
    if node:
        return fleet.client(node)
    hub, asked = fleet.nodes[0], fleet.first()
    if asked != hub and terminal is not None:
        terminal.tell(
            f"note: {hub}, the hub's node, does not run: {asked} is asked; orchestrator apply FILE --local starts {hub}"
        )
    return fleet.client(asked)


def local_fleet(name: str, usual: RuntimeClient) -> LocalFleet | None:
    """The nodes of a deployment, where all of them are on this machine: homes of nodes that have ended are kept, and say nothing of
    a name that is served otherwise by now."""
    from orchestrator.ports.host import FLEETS

    if not (name and (usual.folders.state / FLEETS / name).is_dir()):
        return None
    from orchestrator.app.fleet.local import LocalFleet

    fleet = LocalFleet.of(usual.folders.state, name)
    if not fleet.nodes:  # an apply that failed before there was one
        return None
    if fleet.runs():
        return fleet
    belongs = (usual.folders.state / "fleet" / "fleet.json").is_file()  # to a real fleet, which may serve that name
    return None if belongs or _serves(usual, name) else fleet


def places(name: str, terminal: Terminal) -> Places:
    """The runtimes that tell of a deployment: all nodes of a fleet that is on this machine, else the user's own. Without a name the
    user's own and those of all such fleets."""
    from orchestrator.cli.places import Places

    usual = client(terminal)
    if not name:
        return Places.of(usual, local_fleets(usual), terminal)
    fleet = local_fleet(name, usual)
    return Places.of(usual, [], terminal) if fleet is None else Places.of(None, [fleet], terminal)


def check_one_place(name: str, usual: RuntimeClient, *, local: bool) -> None:
    """Before a deployment is applied to the user's own runtime and its fleet, or to a ``local`` one: the other must not serve that
    name, as nobody could say whom `run` asks then. Raises ``NameClash``."""
    from orchestrator.core.errors import NameClash

    if local:
        if _serves(usual, name):
            raise NameClash(
                f"{name} is served here already, by the user's own runtime or the fleet that this machine belongs to",
                cure=f"orchestrator apply FILE --local --name {name}-trial; or first orchestrator down {name}",
            )
    elif any(fleet.name == name for fleet in local_fleets(usual)):
        raise NameClash(
            f"{name} is served here already, by nodes that all are on this machine (apply --local)",
            cure=f"orchestrator down {name} ends those; or give this one another name, with --name",
        )


def _serves(usual: RuntimeClient, name: str) -> bool:
    if not usual.answers():
        return False
    fleet = usual.fleet() or {"deployments": []}
    return any(each["name"] == name for each in (*usual.status()["deployments"], *fleet["deployments"]))


def local_fleets(usual: RuntimeClient) -> list[LocalFleet]:
    """The fleets whose nodes all are on this machine, as far as one of them runs."""
    from orchestrator.ports.host import FLEETS

    if not (usual.folders.state / FLEETS).is_dir():
        return []
    from orchestrator.app.fleet.local import local_fleets

    return local_fleets(usual.folders.state)


def state_folder() -> Path:
    """Where this user's runtime keeps its state; made where it is not there. Raises ``StateUnusable``."""
    from orchestrator.plugins.hosts.local import LocalHost

    return LocalHost().folders().state


def tell_apart(runtime: RuntimeClient, terminal: Terminal) -> None:
    """Say where a variable of this shell leads to model servers that the runtime does not look at; one that holds no address
    leads nowhere, and does not matter to the runtime."""
    from orchestrator.app.lookout import SERVERS, looks_at, told_apart
    from orchestrator.app.settings import Settings

    try:
        mine = looks_at(terminal.environment, Settings.read(terminal.environment).servers)
    except UsageError as error:
        terminal.tell(f"note: {error.message}: {error.cure}")
        return
    written = {name for name, value in terminal.environment.items() if value or name == SERVERS}
    for sentence in told_apart(mine, runtime.about(), written):
        terminal.tell(f"note: {sentence}")


def observed(blueprint: Blueprint, terminal: Terminal) -> ObservedState:
    """What is there: as the runtime sees it, else as this process does. Starts nothing."""
    runtime = client(terminal)
    return runtime.observe(blueprint) if runtime.answers() else _observed_here(blueprint, runtime, terminal)


def _observed_here(blueprint: Blueprint, runtime: RuntimeClient, terminal: Terminal) -> ObservedState:
    from orchestrator.app.launchers import IN_PROCESS
    from orchestrator.app.settings import Settings
    from orchestrator.app.wiring import observe_in_process

    settings, folder = Settings.read(terminal.environment), runtime.folders.state / IN_PROCESS
    state: ObservedState = observe_in_process(blueprint, settings, folder)
    return state


def planned(compilation: Compilation, origin: str, terminal: Terminal, *, pulls: bool = True) -> Plan:
    """What apply would do (``pulls``: without ``--no-pull``); while no runtime runs, once one has brought back what is applied.
    Raises ``NameClash`` where apply would."""
    from dataclasses import replace

    from orchestrator.plan.origin import check_origin
    from orchestrator.plan.planned import plan_of

    runtime, blueprint = client(terminal), compilation.blueprint
    if blueprint.type == "single-device":
        check_one_place(blueprint.name, runtime, local=False)
    if runtime.answers():
        check_applies(runtime, blueprint, origin)
        tell_apart(runtime, terminal)
        state = replace(runtime.observe(blueprint), pulls=pulls)
    else:
        from orchestrator.app.returning import returning

        back = returning(runtime.folders, blueprint.name)
        if back is not None:
            check_origin(blueprint.name, back.revision.origin, origin)
            return back.planned(blueprint, lambda each: replace(_observed_here(each, runtime, terminal), pulls=pulls))
        state = replace(_observed_here(blueprint, runtime, terminal), pulls=pulls)
    return plan_of(blueprint, state)


def check_applies(runtime: RuntimeClient, blueprint: Blueprint, origin: str) -> None:
    """Before anything is done, so that nobody agrees to a plan that cannot be: the name is not another manifest's, and Python
    tools run where this command does; nor is it a fleet's. Raises ``NameClash``, ``RuntimeVersionClash``, ``DeployError``."""
    from orchestrator.app.interpreter import check_interpreter
    from orchestrator.deploy.wanted import SHARE_CURE, refuse_share
    from orchestrator.plan.origin import check_origin

    name = blueprint.name
    check_interpreter(blueprint, runtime.about())
    applied: dict[str, str] = next((each for each in runtime.status()["deployments"] if each["name"] == name), {})
    if blueprint.type == "single-device":
        refuse_share(name, applied.get("node", ""), SHARE_CURE)
    check_origin(name, applied.get("origin", ""), origin)


def killed(runtime: RuntimeClient) -> int:
    """The process of a runtime that ended without taking its note with it; 0 where there is none."""
    from orchestrator.app.client import last_known
    from orchestrator.app.start import running_process
    from orchestrator.plugins.hosts.local import LocalHost

    about = last_known(runtime.folders)
    if about is None or running_process(LocalHost(), runtime.folders) is not None:
        return 0
    return int(about.get("pid") or 0)


def why_none_runs(error: RuntimeUnavailable) -> tuple[str, str]:
    """Message and cure of an error, which tell more where no runtime runs but one did."""
    from orchestrator.app.answer import NONE_RUNS

    if isinstance(error.__cause__, (FileNotFoundError, ConnectionRefusedError)) and error.message == NONE_RUNS:
        runtime = client()
        if pid := killed(runtime):
            again = "an apply that had not ended, as in a pull, is typed again"
            return ENDED.format(pid=pid), f"orchestrator runtime start brings back what was applied; {again}"
        if (runtime.folders.state / DATABASE_NAME).exists():
            return error.message, f"orchestrator runtime start brings back what was applied; {APPLY} too"
    return error.message, error.cure


def patience(text: str | None) -> float | None:
    """A time that something may take, ``None`` where none was given; raises ``UsageError`` where that is no time at all."""
    if text is None:
        return None
    found = seconds(text)
    if found <= 0:
        raise UsageError(f"--timeout {text} leaves no time", cure="write it like 30s or 2m, or leave it out")
    return found


def seconds(text: str) -> float:
    """A duration of the command line; raises ``UsageError``."""
    from orchestrator.core.quantity import parse_duration

    try:
        return float(text) if text.replace(".", "", 1).isdecimal() else parse_duration(text)
    except ValueError as error:
        raise UsageError(str(error), cure="write it like 30s or 2m") from error
