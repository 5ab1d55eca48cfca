"""A deployment as units of systemd: one for each runtime, with a home of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.export.notes import keyring_notes
from orchestrator.export.order import Order, Workload
from orchestrator.export.references import references_of
from orchestrator.export.running import A_TOKEN, HUB_PORTS, TOKEN, apply_words, init_words, join_words, manifest_words

_RUNTIME: Final = ("-m", "orchestrator.app.runtime", "--foreground")
_APPLY: Final = ("-m", "orchestrator.cli.entry", "apply", "--foreground")


@dataclass(frozen=True, slots=True)
class Unit:
    """A service of a user. ``arguments`` are those of the Python that starts it; ``home`` is the folder of its state below the
    user's own state folder, which systemd makes and gives the mode 0700."""

    name: str
    about: str
    arguments: tuple[str, ...]
    home: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """What systemd calls it."""
        return f"{self.name}.service"


def units(order: Order, folder: str) -> list[Unit]:
    """The units, the hub's first. ``folder`` is where the order's files are on the machine that runs them, absolute."""
    return [_unit(order, workload, folder) for workload in order.workloads]


def notes(order: Order, folder: str) -> list[str]:
    """What is to be done by hand, and what to know."""
    found = references_of(order.blueprint)
    made = units(order, folder)
    return [
        *(f"put the units into ~/.config/systemd/user; {_start(unit)}" for unit in made if not order.hub),
        *_secrets(order, made),
        *keyring_notes(found, "it is looked for in the keyring of the user, where one is unlocked"),
        *_first_steps(order, made, folder),
        *(f"its home is what this says: systemctl --user show -P Environment {unit.file}" for unit in made[:1]),
        "to start it at boot, before a login: loginctl enable-linger",
    ]


def _unit(order: Order, workload: Workload, folder: str) -> Unit:
    where = f"node {workload.node} of {order.blueprint.name}" if workload.node else order.blueprint.name
    words = _RUNTIME if workload.node else (*_APPLY, *manifest_words(order, folder))
    return Unit(
        name=f"orchestrator-{workload.name}",
        about=f"Orchestrator runtime: serves {where}",
        arguments=("-P", *words),
        home=f"orchestrator-{workload.name}",
        environment=dict(sorted(order.variables.items())),
    )


def _start(unit: Unit) -> str:
    return f"to start it: systemctl --user enable --now {unit.file}"


def _secrets(order: Order, made: list[Unit]) -> list[str]:
    wanted = [references_of(workload.share).variables for workload in order.workloads]
    where = "as lines of NAME=value into config/environment of its home, with mode 0600"
    return [
        f"for {unit.name}: write {', '.join(names)} {where}" for unit, names in zip(made, wanted, strict=True) if names
    ]


def _first_steps(order: Order, made: list[Unit], folder: str) -> list[str]:
    """Each unit is for a machine of its own, so that the address of the hub is not known here."""
    hub = order.hub
    if hub is None:
        return []
    there = f"on the machine of {made[0].name}, with ORCHESTRATOR_HOME set to its home"
    ports = " and ".join(str(port) for port in HUB_PORTS.values())
    return [
        *(f"put {unit.file} into ~/.config/systemd/user of the machine of its node; {_start(unit)}" for unit in made),
        f"on the machine of {made[0].name}, let the others through to the ports {ports}, and nobody else",
        f"once, {there}: {init_words(hub, 'ADDRESS')}",
        *(
            f"once, on the machine of {unit.name}, with ORCHESTRATOR_HOME set to its home and {TOKEN} to {A_TOKEN}: "
            f"{join_words(workload)}"
            for unit, workload in zip(made[1:], order.workloads[1:], strict=True)
        ),
        f"then, and after each change, {there}: {apply_words(order, folder)}",
    ]
