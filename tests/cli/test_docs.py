"""docs/cli.md cannot lie: it says every verb and option, and the exit codes are those of the program."""

from __future__ import annotations

import os
import re

from orchestrator.cli import entry, main
from orchestrator.cli.options import commands
from orchestrator.core import errors
from tests.cli.commands import ROOT
from tests.cli.reference import MARK, reference

PAGE = ROOT / "docs" / "cli.md"


def test_the_reference_is_that_of_the_verbs() -> None:
    """Verbs, options, choices and examples, word for word."""
    head, mark, _ = PAGE.read_text().partition(MARK)
    whole = f"{head}{mark}\n\n{reference()}"
    if os.environ.get("ORCHESTRATOR_GOLDEN") == "write":
        PAGE.write_text(whole)
    assert whole == PAGE.read_text()


def test_every_option_of_every_verb_is_on_the_page() -> None:
    """Looked for by name, whatever the page is made from."""
    page = PAGE.read_text()
    missing = [
        f"{' '.join(command.words)} {name}"
        for command in commands()
        for option in command.options
        for name in option.names
        if f"`{name}`" not in page
    ]
    assert missing == []


def test_the_exit_codes_are_those_of_the_program() -> None:
    """Of every error class, and of what ends without one."""
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    known = {int(getattr(kind, "exit_code", 0)) for kind in kinds}
    assert told == known | {0, main.UNEXPECTED, entry.INTERRUPTED, main.PIPE_CLOSED}


def test_the_variables_of_the_environment_are_read_somewhere() -> None:
    """No variable is made up."""
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE.read_text(), re.MULTILINE))
    code = "\n".join(path.read_text() for path in (ROOT / "orchestrator").rglob("*.py"))
    assert [name for name in told if f'"{name}"' not in code] == []
