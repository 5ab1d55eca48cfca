"""What can be typed after each verb, read from the parsers themselves: for completion and for the reference page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.cli.parser import parser_of
from orchestrator.cli.table import VERBS, Verb


@dataclass(frozen=True, slots=True)
class Option:
    """An option: its spellings, what it does, and the words that it takes where they are few."""

    names: tuple[str, ...]
    about: str
    choices: tuple[str, ...] = ()
    takes_value: bool = True


@dataclass(frozen=True, slots=True)
class Command:
    """A verb, or a verb with its object (``explain code``): its words, options, the objects that may follow, and what else
    is typed behind it (``takes``: how help calls it, and what it is)."""

    words: tuple[str, ...]
    about: str
    options: tuple[Option, ...]
    objects: tuple[str, ...] = ()
    takes: tuple[tuple[str, str], ...] = ()


def commands() -> list[Command]:
    """Every command in the order of the table; imports the modules of all verbs."""
    return [command for verb in VERBS for command in _of_verb(verb)]


def _of_verb(verb: Verb) -> Iterator[Command]:
    parser = parser_of(verb)
    objects = _objects(parser)
    yield Command((verb.name,), verb.summary, tuple(_options(parser)), tuple(objects), tuple(_takes(parser)))
    for name, (about, inner) in objects.items():
        yield Command((verb.name, name), about, tuple(_options(inner)), (), tuple(_takes(inner)))


def _objects(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            return {name: (helps.get(name, ""), inner) for name, inner in action.choices.items()}
    return {}


def _options(parser: argparse.ArgumentParser) -> Iterator[Option]:
    for action in parser._actions:
        if action.option_strings and action.help is not argparse.SUPPRESS:
            choices = tuple(str(choice) for choice in action.choices or ())
            yield Option(tuple(action.option_strings), action.help or "", choices, action.nargs != 0)


def _takes(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:
        if not action.option_strings and not isinstance(action, argparse._SubParsersAction):
            yield str(action.metavar or action.dest).upper(), action.help or ""
