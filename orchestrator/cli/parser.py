"""The parser of a verb's own command line."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from typing import Any, Final, NoReturn

from orchestrator.cli.table import Verb
from orchestrator.core.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser whose faults are ``UsageError``s, and whose help keeps the line breaks of examples."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _Format)
        super().__init__(allow_abbrev=False, add_help=False, **options)
        self.add_argument("-h", "--help", action="help", help="show this help")
        self.add_argument("--no-color", action="store_true", help="no colours, no redrawn lines")

    def print_help(self, file: Any = None) -> None:
        """Write it; that it cannot be written is not kept silent, as argparse would."""
        (file or sys.stdout).write(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Raise ``UsageError``; the exit code and the form are the same as for every other error."""
        message = message.replace(PLAIN, "").replace(repr(PLAIN).strip("'"), "")
        raise UsageError(message, cure=_near(message) or self._near_option(message) or f"see `{self.prog} --help`")

    def _near_option(self, message: str) -> str:
        """What was probably meant by an option that there is not."""
        found = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        if found is None:
            return ""
        from orchestrator.core.names import did_you_mean

        shown = [action for action in self._actions if action.help is not argparse.SUPPRESS]
        return did_you_mean(found[1], [name for action in shown for name in action.option_strings])


def _near(message: str) -> str:
    """What was probably meant, where a word is none of a few choices."""
    found = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)$", message)
    if found is None:
        return ""
    from orchestrator.core.names import did_you_mean

    return did_you_mean(found[1], [choice.strip(" '") for choice in found[2].split(",")])


class _Format(argparse.RawDescriptionHelpFormatter):
    """One width on every terminal, so that help can be compared and quoted; the first column fits most options."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=100)


def parser_of(verb: Verb) -> Parser:
    """The parser of a verb; imports its module and nothing more."""
    module = importlib.import_module(verb.module)
    about = f"{verb.summary[0].upper()}{verb.summary[1:]}."
    parser = Parser(prog=f"orchestrator {verb.name}", description=about, epilog=_examples(module.EXAMPLES))
    module.arguments(parser)
    parser.set_defaults(run_verb=module.run)
    return parser


def _examples(lines: str) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in lines.strip().splitlines())


PLAIN: Final = "\0"
"""Stands before a word that is no option whatever it begins with: argparse forgets ``--`` on its second pass over the words. No
argument of a program can hold this character."""


def parsed(parser: Parser, words: list[str]) -> argparse.Namespace:
    """Options may stand between the words, as in ``run kiosk --json "hello"``; not where a verb has verbs of its own. After
    ``--`` no word is an option."""
    options = _marked(words)
    try:
        found = parser.parse_intermixed_args(options)
    except TypeError:
        found = parser.parse_args(options)
    for name, value in vars(found).items():
        if isinstance(value, str | list):
            setattr(found, name, _unmarked(value))
    return found


def _marked(words: list[str]) -> list[str]:
    end = words.index("--") if "--" in words else len(words)
    return words[:end] + [PLAIN + word if word.startswith("-") else word for word in words[end + 1 :]]


def _unmarked(value: str | list[Any]) -> str | list[Any]:
    if isinstance(value, str):
        return value.removeprefix(PLAIN)
    return [_unmarked(each) if isinstance(each, str) else each for each in value]
