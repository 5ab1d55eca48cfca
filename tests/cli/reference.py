"""The reference part of docs/cli.md, made from the parsers themselves."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.cli.options import Command, Option, commands
from orchestrator.cli.parser import parser_of
from orchestrator.cli.table import find, groups

MARK = "<!-- Below this line the page is made from the verbs; ORCHESTRATOR_GOLDEN=write writes it anew. -->"


def reference() -> str:
    """Every verb by its group, with its options and examples."""
    by_verb: dict[str, list[Command]] = {}
    for command in commands():
        by_verb.setdefault(command.words[0], []).append(command)
    lines: list[str] = []
    for group, verbs in groups().items():
        lines += [f"## {group}", ""]
        for verb in verbs:
            lines += [f"### {verb.name}", "", f"{verb.summary[0].upper()}{verb.summary[1:]}.", ""]
            for command in by_verb[verb.name]:
                lines += _command(command)
            lines += ["```sh", *_examples(verb.name), "```", ""]
    return "\n".join(lines)


def _command(command: Command) -> Iterator[str]:
    if len(command.words) > 1:
        yield f"**{' '.join(command.words)}**: {command.about}."
        yield ""
    rows = [f"| {name} | {about.replace('|', '&#124;')} |" for name, about in command.takes]
    rows += [_row(option) for option in command.options if option.names[-1] not in ("--help", "--no-color")]
    if rows:
        yield from ("| argument or option | what it is |", "|---|---|", *rows, "")


def _row(option: Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.names)
    choices = f" ({', '.join(f'`{choice}`' for choice in option.choices)})" if option.choices else ""
    return f"| {names}{choices} | {option.about.replace('|', '&#124;')} |"


def _examples(name: str) -> list[str]:
    verb = find(name)
    assert verb is not None
    epilog = parser_of(verb).epilog or ""
    return [line.strip() for line in epilog.splitlines()[1:]]
