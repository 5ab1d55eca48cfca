"""Completion scripts of shells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from orchestrator.cli.options import Command, Option


def bash(commands: Sequence[Command]) -> str:
    """For bash: verbs first, then the options and objects of the verb, else files."""
    cases = [f'    "{" ".join(c.words)}") words="{" ".join([*c.objects, *_names(c)])}" ;;' for c in commands]
    choices = [
        f'    "{" ".join(c.words)} {name}") words="{" ".join(option.choices)}" ;;'
        for c in commands
        for option in c.options
        for name in option.names
        if option.choices
    ]
    verbs = " ".join(c.words[0] for c in commands if len(c.words) == 1)
    pairs = " | ".join(f'"{" ".join(c.words)}"' for c in commands if len(c.words) == 2)
    return _BASH.format(verbs=verbs, pairs=pairs, cases="\n".join(cases), choices="\n".join(choices))


def zsh(commands: Sequence[Command]) -> str:
    """For zsh: the same, with what each word does."""
    verbs = [f"    {_quoted(f'{c.words[0]}:{c.about}')}" for c in commands if len(c.words) == 1]
    cases = []
    for command in commands:
        words = [_quoted(f"{word}:{_about(command, word, commands)}") for word in [*command.objects, *_names(command)]]
        cases.append(f"    {_quoted(' '.join(command.words))}) candidates=({' '.join(words)}) ;;")
    pairs = " | ".join(_quoted(" ".join(c.words)) for c in commands if len(c.words) == 2)
    return _ZSH.format(verbs="\n".join(verbs), pairs=pairs, cases="\n".join(cases))


def fish(commands: Sequence[Command]) -> str:
    """For fish: one line for each word."""
    lines = ["# Completion of orchestrator for fish."]
    for command in commands:
        verb = command.words[0]
        if len(command.words) == 1:
            lines.append(f"complete -c orchestrator -n __fish_use_subcommand -f -a {verb} -d {_quoted(command.about)}")
            seen = f"__fish_seen_subcommand_from {verb}"
        else:
            lines.append(f"complete -c orchestrator -n {_quoted(_seen_in(verb))} -f -a {command.words[1]}")
            seen = f"__fish_seen_subcommand_from {verb}; and __fish_seen_subcommand_from {command.words[1]}"
        lines += [_fish_option(option, seen) for option in command.options]
    return "\n".join(lines) + "\n"


def _seen_in(verb: str) -> str:
    """The condition of fish that this verb was typed."""
    return f"__fish_seen_subcommand_from {verb}"


def _fish_option(option: Option, seen: str) -> str:
    spelled = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    choices = f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -r" if option.takes_value else ""
    return f"complete -c orchestrator -n {_quoted(seen)} {spelled}{choices} -d {_quoted(option.about)}"


def _names(command: Command) -> list[str]:
    return [name for option in command.options for name in option.names]


def _about(command: Command, word: str, commands: Sequence[Command]) -> str:
    for option in command.options:
        if word in option.names:
            return option.about
    return next((c.about for c in commands if c.words == (*command.words, word)), "")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_BASH: Final = """# Completion of orchestrator for bash.
_orchestrator() {{
  local words="" verb="${{COMP_WORDS[1]}}" command="${{COMP_WORDS[1]}}" current="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{verbs} --help --version" -- "$current"))
    return
  fi
  case "$verb ${{COMP_WORDS[2]}}" in {pairs}) [ "$COMP_CWORD" -gt 2 ] && command="$verb ${{COMP_WORDS[2]}}" ;; esac
  case "$command ${{COMP_WORDS[COMP_CWORD-1]}}" in
{choices}
    *) case "$command" in
{cases}
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ "${{#COMPREPLY[@]}}" -eq 0 ] && COMPREPLY=($(compgen -f -- "$current"))
}}
complete -o filenames -F _orchestrator orchestrator
"""

_ZSH: Final = """#compdef orchestrator
# Completion of orchestrator for zsh.
_orchestrator() {{
  local -a verbs candidates
  verbs=(
{verbs}
  )
  if (( CURRENT == 2 )); then
    _describe -t verbs verb verbs
    return
  fi
  local typed="${{words[2]}}" object="${{words[3]}}"
  case "$typed $object" in {pairs}) (( CURRENT > 3 )) && typed="$typed $object" ;; esac
  case "$typed" in
{cases}
  esac
  _describe -t words word candidates
  _files
}}
_orchestrator "$@"
"""

SCRIPTS: Final[Mapping[str, Callable[[Sequence[Command]], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}
