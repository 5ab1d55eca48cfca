"""Output that is not UTF-8: what it cannot say is shown in a stand-in, and what programs read stays UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import ROOT, apart, command

SEED = "manifests/single-device.yaml"
KIOSK = "examples/retail-kiosk/kiosk.yaml"
SHOP = """\
deployment:
  type: single-device
  agents: [{name: a, description: "開", reflex: [{say: "→ naïve 開 … 😀"}]}]
"""


def written(*argv: str, encoding: str) -> bytes:
    """What a command writes to output of this encoding; it ends well, or with what it found (1), and never with a crash."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    ended = subprocess.run(command(*argv), cwd=ROOT, env=environment, capture_output=True, check=False, timeout=60)
    assert ended.returncode in (0, 1) and b"rror" not in ended.stderr, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    "argv",
    [
        ("graph", SEED, "--format", "svg"),
        ("graph", SEED, "--format", "mermaid"),
        ("explain", "manifest", SEED),
        ("schema",),
        ("init", "kiosk", "-o", "-"),
        ("routes", "test", KIOSK, "--json"),
    ],
    ids=" ".join,
)
def test_what_programs_read_is_utf_8_whatever_the_locale(argv: tuple[str, ...]) -> None:
    """Byte for byte the same; some of it holds more than ASCII."""
    assert written(*argv, encoding="ascii") == written(*argv, encoding="utf-8")


def test_what_people_read_is_shown_in_stand_ins() -> None:
    """Lines and arrows by what looks like them; a letter of the encoding as itself, and others by their numbers."""
    assert written("routes", "test", KIOSK, encoding="ascii").isascii()
    drawn = written("graph", KIOSK, encoding="utf-8").decode()
    near = written("graph", KIOSK, encoding="latin-1").decode("latin-1")
    assert "├─" in drawn
    assert near == drawn.replace("├", "+").replace("└", "+").replace("─", "-").replace("│", "|").replace("…", "...")


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("latin-1", "-> naïve \\u958b ... \\U0001f600"),
        ("ascii", "-> na\\xefve \\u958b ... \\U0001f600"),
    ],
)
def test_an_answer_that_the_terminal_cannot_say_is_still_an_answer(
    home: Path, tmp_path: Path, encoding: str, said: str
) -> None:
    """Else a user who is told of a fault asks again, and has a tool's work done twice."""
    folder = tmp_path / "開"
    folder.mkdir()
    (folder / "shop.yaml").write_text(SHOP)
    assert apart("apply", str(folder / "shop.yaml")).code == 0
    try:
        assert written("run", "shop", "hi", encoding=encoding).decode(encoding) == f"{said}\n"
        asked = json.loads(written("run", "shop", "hi", "--json", encoding=encoding))
        assert asked["text"] == "→ naïve 開 … 😀"
        for argv in (("explain", "run"), ("history", "shop"), ("status", "shop"), ("report", "shop")):
            assert written(*argv, encoding=encoding).decode(encoding)
    finally:
        assert apart("runtime", "stop").code == 0
