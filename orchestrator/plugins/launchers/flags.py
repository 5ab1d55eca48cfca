"""From the options of a manifest to the options of a program, as the installed version has them. Pure.

An option has one or several *forms*, newest first; the first whose name the program says it has is taken. What cannot be
had is refused where the manifest wrote it, and told where only the scenario asked for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core.errors import PlanError
from orchestrator.ports.lifecycle import Binary, LaunchOrder, Scenario

Words = tuple[str, ...]
MANIFEST: Final = "manifest"
"""Who wrote an option that stands in the manifest; one that cannot be had is refused."""
Write = Callable[[str, Any], Words]
"""Writes a value with the name of an option: the words of the command line."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Stands in a scenario for an option that it cannot give a value to; ``why`` is told."""

    why: str


@dataclass(frozen=True, slots=True)
class Form:
    """One way of writing an option: its name, and how the value goes with it. A name in capitals without ``--`` is a
    variable of the environment."""

    name: str
    write: Write


@dataclass(frozen=True, slots=True)
class Flag:
    """An option of the manifest, and its forms in programs of this make, newest first."""

    option: str
    forms: tuple[Form, ...]


@dataclass(slots=True)
class Command:
    """A command in the making. ``origins``: who gave the value of an option, where that is not plain."""

    words: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)

    def add(self, form: Form, value: Any) -> str:
        """Write an option; gives what was written, for a note."""
        words = form.write(form.name, value)
        if form.name.startswith("-"):
            self.words += words
            return " ".join(words) or "the program's own default"
        self.environment[form.name] = " ".join(words)
        return f"{form.name}={' '.join(words)}"


@dataclass(frozen=True, slots=True)
class Options:
    """What a make does with the options of a manifest: ``flags`` that it has, ``refused`` ones with what to do instead, its
    ``scenarios``, those that its head writes (``elsewhere``: under which name), and of which values it may lack some (``lacking``:
    what to do instead of one, empty where it has it)."""

    program: str
    flags: tuple[Flag, ...]
    refused: Mapping[str, str]
    scenarios: Mapping[Scenario, Mapping[str, Any]]
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    lacking: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)

    def put(self, command: Command, binary: Binary, order: LaunchOrder) -> None:
        """Write every option that the scenario or the manifest gives. Raises ``PlanError``."""
        self._check(order.options)
        scenario = self.scenarios[order.scenario] if order.scenario else {}
        for flag in self.flags:
            if flag.option in order.options:
                origin = command.origins.get(flag.option, MANIFEST)
                self._put(command, flag, binary, order.options[flag.option], origin)
            elif flag.option in scenario:
                self._put(command, flag, binary, scenario[flag.option], f"scenario {order.scenario}")
        command.notes += [
            f"{option}: {advice.why}"
            for option, advice in scenario.items()
            if isinstance(advice, Advice) and option not in order.options
        ]

    def given(self, order: LaunchOrder) -> dict[str, Any]:
        """The values of the scenario, and before them those of the manifest."""
        scenario = self.scenarios[order.scenario] if order.scenario else {}
        known = {option: value for option, value in scenario.items() if not isinstance(value, Advice)}
        return known | dict(order.options)

    def lacks(self, option: str, binary: Binary) -> bool:
        """Whether this version of the program has no form of an option that others have."""
        forms = next((flag.forms for flag in self.flags if flag.option == option), ())
        return bool(forms) and not any(has(binary, form.name) for form in forms)

    def refusals(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Options that no version of the program has, and with their value those of which it lacks that, each with what to write
        instead."""
        known = {*self.elsewhere, *(flag.option for flag in self.flags)}
        others = f"it takes {', '.join(sorted(known))}"
        missing = {option: self.refused.get(option, others) for option in options if option not in known}
        checked = {
            f"{option} {options[option]}": lacks(options[option])
            for option, lacks in self.lacking.items()
            if option in options
        }
        return missing | {option: instead for option, instead in checked.items() if instead}

    def _check(self, options: Mapping[str, Any]) -> None:
        for option, instead in self.refusals(options).items():
            raise PlanError(f"{self.program} has no {option}", cure=instead)

    def _put(self, command: Command, flag: Flag, binary: Binary, value: Any, origin: str) -> None:
        if isinstance(value, Advice):
            return
        form = next((form for form in flag.forms if has(binary, form.name)), None)
        if form is not None and _lacks_its_opposite(form, value, binary):
            command.notes.append(f"{flag.option}: left out, this version has it off unless it is asked for ({origin})")
            return
        if form is not None:
            command.notes.append(f"{flag.option}: {command.add(form, value)} ({origin})")
            return
        wanted = flag.forms[0].name
        why = f"{self.program} {binary.version or 'of this version'} has no {wanted}".replace("  ", " ")
        if origin == MANIFEST:
            raise PlanError(f"{flag.option}: {why}", cure=f"update {self.program}, or take {flag.option} out")
        command.notes.append(f"{flag.option}: left out, {why} ({origin})")


def has(binary: Binary, name: str) -> bool:
    """Whether the program says that it has this option; one that could not be asked is believed to have all."""
    return not binary.options or name in binary.options


def _lacks_its_opposite(form: Form, value: Any, binary: Binary) -> bool:
    return any(word.startswith("--no-") and not has(binary, word) for word in form.write(form.name, value))


# -- ways of writing --------------------------------------------------------------------------------------------------


def value(name: str, given: Any) -> Words:
    """``--name value``."""
    return (name, _text(given))


def bare(_name: str, given: Any) -> Words:
    """Only the value: for variables of the environment."""
    return (_text(given),)


def on_off(name: str, given: Any) -> Words:
    """``--name`` or ``--no-name``."""
    return (name,) if given else (f"--no-{name.removeprefix('--')}",)


def true_false(name: str, given: Any) -> Words:
    """``--name true``."""
    return (name, "true" if given else "false")


def in_json(**fields: Any) -> Write:
    """``--name {"key": value, …}``; the given value stands where a field is ``GIVEN``."""

    def write(name: str, given: Any) -> Words:
        filled = {key: given if each is GIVEN else each for key, each in fields.items()}
        return (name, json.dumps(filled, separators=(",", ":")))

    return write


def fixed(*words: str) -> Write:
    """These words where the value is true, else nothing."""
    return lambda name, given: (name, *words) if given else ()


GIVEN: Final = object()


def flag(option: str, *forms: tuple[str, Write]) -> Flag:
    """A row of a table of flags."""
    return Flag(option, tuple(Form(name, write) for name, write in forms))


def _text(given: Any) -> str:
    return (
        ("true" if given else "false")
        if isinstance(given, bool)
        else f"{given:g}"
        if isinstance(given, float)
        else str(given)
    )
