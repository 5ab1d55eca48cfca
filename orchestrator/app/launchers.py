"""Launchers of the table, and what model servers are started with on this machine."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from orchestrator.app import catalog
from orchestrator.core.diagnostic import Diagnostic, Place
from orchestrator.core.errors import DeployError, NotInstalled
from orchestrator.ports.environment import passed_environment
from orchestrator.ports.lifecycle import Binary, Hurried, Launch, Launcher, LaunchOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.core.blueprint import Blueprint, ModelSpec
    from orchestrator.deploy.yard import Yard
    from orchestrator.ports.provider import Provider

IN_PROCESS: Final = "in-process"
"""The folder, below that of the runtime, where deployments of single processes keep their state."""
_TELL_AFTER: Final = 1.0
"""Seconds until who waits for a program to say what it can do is told so."""


class Launchers:
    """Live launchers, one of each make. ``cache`` remembers what programs said of themselves; ``tell`` hears that one is waited
    for."""

    def __init__(
        self, cache: Path | None, environment: Mapping[str, str], tell: Callable[[str], None] | None = None
    ) -> None:
        self._cache = cache
        self._environment = environment
        self._tell = tell
        self._open: dict[str, Launcher] = {}
        self._met: dict[str, Binary | None] = {}

    def get(self, kind: str) -> Launcher:
        """The launcher of this name in the table."""
        if kind not in self._open:
            self._open[kind] = catalog.load("launcher", kind)(self._cache)
        return self._open[kind]

    def program(self, kind: str) -> str:
        """What its program is called."""
        return self.get(kind).program

    def find(self, kind: str) -> Binary | None:
        """The installed program; beside the folders of ``PATH``, that of this Python is looked into."""
        from orchestrator.plugins.launchers.installed import folders

        with self._told(kind):
            return self.get(kind).find(folders(self._environment, Path(sys.executable).parent))

    def meet(self, kind: str) -> bool:
        """Find the program, and ask it if that has not been done; tells whether it is another one than was known. May take
        seconds."""
        before, now = self._met.get(kind), self.find(kind)
        news = kind not in self._met or before != now
        self._met[kind] = now
        return news

    def leave(self) -> None:
        """End what is asked just now: nobody waits for the answers any more."""
        for launcher in list(self._open.values()):
            if isinstance(launcher, Hurried):
                launcher.leave()

    @contextmanager
    def _told(self, kind: str) -> Iterator[None]:
        """Say it where it takes long."""
        if self._tell is None:
            yield
            return
        timer = threading.Timer(_TELL_AFTER, self._tell, [f"{self.program(kind)} is asked for its options …"])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def launch(self, kind: str, order: LaunchOrder) -> Launch:
        """The command. Raises ``DeployError`` where the program is not installed, and ``PlanError`` for an option that
        cannot be had."""
        return self._launch(kind, order, self.find(kind))

    def glance(self, kind: str, order: LaunchOrder) -> Launch:
        """The same by what is known, at once. Raises ``DeployError`` also while the program has not been met."""
        if kind not in self._met:
            raise DeployError(f"{self.program(kind)} is being asked for its options", cure="that is over in seconds")
        return self._launch(kind, order, self._met[kind])

    def usual(self, kind: str, order: LaunchOrder) -> Launch:
        """The same for a new version of the program, whatever is installed: nothing is asked, or looked for."""
        launcher = self.get(kind)
        return launcher.command(launcher.usual, order)

    def _launch(self, kind: str, order: LaunchOrder, binary: Binary | None) -> Launch:
        launcher = self.get(kind)
        if binary is None:
            raise NotInstalled(f"{launcher.program} is not installed", cure=install_line(launcher))
        return launcher.command(binary, order)


def install_line(launcher: Launcher) -> str:
    """What to type on this system to have it."""
    return launcher.install.get(sys.platform) or launcher.install["*"]


def make_yard(provider: Callable[[str], Provider], state: Path, owner: str = "") -> Yard:
    """What servers are started with. ``owner`` names who starts them: the runtime has one place, every other process a
    place of its own, so that nobody takes over what is another's."""
    from orchestrator.deploy.yard import Yard
    from orchestrator.plugins.hosts.processes import LocalProcesses

    launchers = Launchers(state / "programs.json", os.environ)
    return Yard(
        launch=launchers.launch,
        glance=launchers.glance,
        usual=launchers.usual,
        meet=launchers.meet,
        leave=launchers.leave,
        processes=LocalProcesses(),
        provider=lambda kind: provider(kind if kind in catalog.PROVIDERS else "openai-compatible"),
        records=state / "servers" / owner if owner else _own_place(state / "servers"),
        models=state / "models",
        logs=state / "logs" / "servers",
        environment=passed_environment(os.environ),
        program=launchers.program,
        also=(state / IN_PROCESS / "servers",),  # of programs that opened a deployment themselves
    )


def _own_place(servers: Path) -> Path:
    import psutil

    from orchestrator.deploy.server_records import place_of_process
    from orchestrator.ports.host import ProcessIdentity

    return place_of_process(servers, ProcessIdentity(os.getpid(), psutil.Process().create_time()))


def refused_options(blueprint: Blueprint, place_of: Callable[..., Place | None]) -> list[Diagnostic]:
    """Options that no version of a server's program has, each with what to write instead."""
    launchers = Launchers(None, {})
    found: list[Diagnostic] = []
    for element in blueprint.of_kind("model"):
        server = element.spec["server"]
        launcher = launchers.get(server["kind"]) if server else None
        for option, instead in (launcher.refused(server["options"]) if launcher else {}).items():
            place = place_of(element.address, "server", option.partition(" ")[0])
            message = f"{launcher.program if launcher else ''} has no {option}"
            found.append(Diagnostic("ORC311", message, place, cure=instead, subject=element.address))
    return [*found, *_refused_builds(blueprint, launchers, place_of)]


def _refused_builds(
    blueprint: Blueprint, launchers: Launchers, place_of: Callable[..., Place | None]
) -> Iterator[Diagnostic]:
    """Models that are wanted in a build which the server that is started for them cannot have."""
    from orchestrator.plan.started_builds import refused_build

    for element in blueprint.of_kind("model"):
        spec = cast("ModelSpec", element.spec)
        if spec["server"] is None:
            continue
        why = refused_build(spec, partial(_instead, launchers.get(spec["server"]["kind"])))
        if why is not None:
            place = place_of(element.address, "quantization")
            yield Diagnostic("ORC313", f"{spec['alias']}: {why[0]}", place, cure=why[1], subject=element.address)


def _instead(launcher: Launcher, build: str) -> str:
    """What to do where its program cannot be told this build; empty where it can."""
    return next(iter(launcher.refused({"quantization": build}).values()), "")
