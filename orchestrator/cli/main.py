"""The entry point: finds the verb, imports it alone, runs it, and turns what goes wrong into words and an exit code."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence
from typing import Final, TextIO

from orchestrator.cli.entry import INTERRUPTED
from orchestrator.cli.streams import in_utf8, standard_streams
from orchestrator.cli.table import VERBS, Verb, find, groups
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import OrchestratorError, UsageError

PIPE_CLOSED: Final = 141
"""As a shell tells SIGPIPE."""
UNEXPECTED: Final = 1
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""Why what is written to a stream cannot be kept: the last where it was closed from the beginning."""
FOR_PEOPLE: Final = ("text", "human")
"""Values of ``--format`` that no program reads."""
ALIKE: Final = 0.7
"""How alike a verb is to one that was meant and begins with another letter: they are short, and "bogus" is not "logs"."""
COLLECT_RARELY: Final = (50_000, 20, 100)
"""Importing makes hundreds of thousands of objects that all stay: looking through them again and again costs a tenth of the
time of a short command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code (0 fine, 1 unexpected, 2 manifest, 3 plan, 4 deploy, 5 run, 64 wrong usage)."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    gc.set_threshold(*COLLECT_RARELY)
    terminal = Terminal(standard_streams(), os.environ, plain="--no-color" in argv)
    code = _ended(argv, terminal)
    _leave(code)
    return code


def _ended(argv: list[str], terminal: Terminal) -> int:
    try:
        code = execute(argv, terminal)
        terminal.stdout.flush()
    except BrokenPipeError:
        _forget(terminal.stdout)
        return PIPE_CLOSED
    except OSError as error:
        _forget(terminal.stdout)
        terminal.tell(f"error: cannot write the output: {_why(error)}")
        return UNEXPECTED
    return code


def _why(error: OSError) -> str:
    return "standard output is closed" if error.errno == errno.EBADF else str(error.strerror)


def _leave(code: int) -> None:
    """Only what ran the whole program here can have left a thread that holds the process."""
    if "orchestrator.app.runtime" in sys.modules:
        from orchestrator.app.leave import leave_if_held

        leave_if_held(code)


def execute(argv: Sequence[str], terminal: Terminal) -> int:
    """Run one command on a terminal; whatever goes wrong is told there, but for output that cannot be written: a closed pipe, a
    full disk."""
    words = [word for word in argv if word != "--no-color"] if _before_verb(argv) else list(argv)
    verb = words[0] if words else ""
    try:
        return _dispatch(words, terminal)
    except OrchestratorError as error:
        return _told(error, terminal)
    except KeyboardInterrupt:
        terminal.tell("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # the last door: no user sees a traceback
        if isinstance(error, OSError) and error.filename is None and error.errno in FULL:
            raise
        if isinstance(error, FileNotFoundError) and _folder_is_gone():
            return _told(
                UsageError("the working folder is gone", cure="cd to a folder that exists, and try again"), terminal
            )
        from orchestrator.cli.crash import tell_crash

        tell_crash(error, verb, terminal)
        return UNEXPECTED


def _told(error: OrchestratorError, terminal: Terminal) -> int:
    from orchestrator.cli.view.faults import tell_fault

    tell_fault(error, terminal)
    return error.exit_code


def _folder_is_gone() -> bool:
    """Whether the folder that the program was started in was removed; what looks for a file from there does not find itself."""
    try:
        os.getcwd()  # noqa: PTH109 - only whether there is one
    except FileNotFoundError:
        return True
    return False


def _dispatch(words: list[str], terminal: Terminal) -> int:
    first = words[0] if words else "--help"
    if first in ("-h", "--help") or words == ["help"]:
        terminal.say(usage())
        return 0
    if first == "--version":
        from orchestrator.cli.version import version

        terminal.say(f"orchestrator {version()}")
        return 0
    if first == "help":
        return _run_verb(_verb(words[1]), ["--help"], terminal)
    return _run_verb(_verb(first), words[1:], terminal)


def _run_verb(verb: Verb, words: list[str], terminal: Terminal) -> int:
    from contextlib import redirect_stdout

    from orchestrator.cli.parser import parsed, parser_of

    try:
        with redirect_stdout(terminal.stdout):  # argparse prints help there
            options = parsed(parser_of(verb), words)
    except SystemExit as ended:  # help was asked for
        return int(ended.code or 0)
    if getattr(options, "json", False) or getattr(options, "format", FOR_PEOPLE[0]) not in FOR_PEOPLE:
        in_utf8(terminal.stdout)
    code: int = options.run_verb(options, terminal)
    return code


def _verb(name: str) -> Verb:
    verb = find(name)
    if verb is not None:
        return verb
    from orchestrator.core.names import did_you_mean

    what = "option" if name.startswith("-") else "verb"
    known = [verb.name for verb in VERBS] if what == "verb" else ["--help", "--version", "--no-color"]
    near = did_you_mean(name, known, ALIKE) or did_you_mean(name, [each for each in known if each[0] == name[:1]])
    raise UsageError(f'there is no {what} "{name}"', cure=near or "see `orchestrator --help`")


def usage() -> str:
    """The help of the whole program."""
    width = max(len(verb.name) for verb in VERBS)
    lines = [
        "usage: orchestrator VERB [options]",
        "",
        "Run one assistant made of many small models on the devices at hand.",
    ]
    for group, verbs in groups().items():
        lines += ["", f"{group}:", *(f"  {verb.name:<{width}}  {verb.summary}" for verb in verbs)]
    return "\n".join([*lines, "", *_FOOT])


_FOOT: Final = (
    "options:",
    "  -h, --help         this help; `orchestrator VERB --help` for a verb",
    "  --version          the version of the program",
    "  --no-color         no colours, no redrawn lines (as does NO_COLOR in the environment)",
    "",
    "first steps:",
    "  orchestrator init kiosk",
    "  orchestrator apply kiosk.yaml",
    '  orchestrator run kiosk "do you have a cordless drill?"',
    "",
    "exit codes: 0 fine, 1 unexpected, 2 manifest, 3 plan, 4 deploy, 5 run, 64 wrong usage, 130 interrupted",
)


def _before_verb(argv: Sequence[str]) -> bool:
    return bool(argv) and argv[0] == "--no-color"


def _forget(stream: TextIO) -> None:
    """Nobody reads any more: what is still in the buffer goes nowhere, so that the interpreter ends quietly."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
