"""Completion scripts: every verb and option, in the shell itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.cli.options import commands
from orchestrator.cli.table import VERBS
from tests.cli.commands import ROOT, here


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_accepted_by_its_shell_and_knows_every_verb(shell: str, tmp_path: Path) -> None:
    """Parsed by the shell where it is installed."""
    text = here("completion", shell).out
    for verb in VERBS:
        assert verb.name in text
    program = shutil.which(shell)
    if program is not None:
        script = tmp_path / "script"
        script.write_text(text)
        ended = subprocess.run([program, "-n", script], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")


def _complete(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    script = tmp_path / "completion.bash"
    script.write_text(here("completion", "bash").out)
    quoted = " ".join(f"'{word}'" for word in ("orchestrator", *words))
    typed = (
        f'source "{script}"; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _orchestrator; echo "${{COMPREPLY[@]}}"'
    )
    bash = shutil.which("bash")
    assert bash is not None
    ended = subprocess.run([bash, "-c", typed], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("val",), ["validate"]),
        (("validate", "--fo"), ["--format"]),
        (("validate", "--format", "s"), ["sarif"]),
        (("explain", "ma"), ["manifest"]),
        (("explain", "manifest", "--pl"), ["--places"]),
        (("runtime", "st"), ["status", "start", "stop"]),
        (("validate", "pyproj"), ["pyproject.toml"]),
    ],
)
def test_bash_offers_what_fits(tmp_path: Path, words: tuple[str, ...], offered: list[str]) -> None:
    """Verbs, objects, options, their choices, else files."""
    assert _complete(tmp_path, *words) == offered


def test_bash_offers_every_option_of_every_command(tmp_path: Path) -> None:
    """Those of ``explain code`` and its like too."""
    for command in commands():
        names = {name for option in command.options for name in option.names if name.startswith("--")}
        assert set(_complete(tmp_path, *command.words, "--")) >= names
