"""What the pages say that commands print is what they print."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestrator
from tests.docs.pages import ROOT, Fence, all_fences, fences
from tests.docs.sessions import Turn, missing, run, surroundings, turns

README = ROOT / "README.md"
SESSIONS = [fence for fence in all_fences("console") if "session" in fence.words]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A state folder whose runtime ends with the test."""
    yield tmp_path
    run("orchestrator runtime stop --drain 0s", tmp_path)


@pytest.mark.parametrize("fence", SESSIONS, ids=str)
def test_a_session_of_the_pages_goes_as_shown(fence: Fence, home: Path) -> None:
    """Each command ends well, or with the code that the fence says (``exits=5``), and prints the lines that are shown, in their
    order."""
    [wanted] = [int(word[6:]) for word in fence.words if word.startswith("exits=")] or [0]
    for turn in turns(fence.text):
        code, printed = run(turn.command, home)
        assert code == wanted, printed
        assert missing(turn.shown, printed) == "", printed


def _demo_of_the_readme() -> list[Turn]:
    (shown,) = [fence for fence in fences(README) if fence.language == "console"]
    return list(turns(shown.text))


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """Every command that the README shows is one of the demo's, and its lines are there, but for times and ids."""
    ended = subprocess.run(
        [sys.executable, "examples/retail-kiosk/demo.py"],
        cwd=ROOT,
        env=surroundings(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=True,
    )
    printed = {turn.command: "\n".join(turn.shown) for turn in turns(ended.stdout)}
    shown = _demo_of_the_readme()
    assert [turn.command for turn in shown] == [command for command in printed if command in {t.command for t in shown}]
    for turn in shown:
        assert missing(_without_gaps(turn.shown), _without_gaps_text(printed[turn.command])) == "", ended.stdout


def _without_gaps(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(line for line in lines if line.strip())


def _without_gaps_text(text: str) -> str:
    return "\n".join(_without_gaps(tuple(text.splitlines())))


def test_the_readme_shows_a_real_diagnostic(home: Path) -> None:
    """The manifest beside this test is refused with these very words."""
    code, printed = run("orchestrator validate desk.yaml", home, Path(__file__).parent / "faulty")
    (shown,) = [fence.text for fence in fences(README) if fence.text.startswith("error[")]
    assert (code, printed.rstrip("\n")) == (2, shown.rstrip("\n"))


def test_the_picture_of_the_readme_is_what_the_command_draws(home: Path) -> None:
    """The command stands below the picture."""
    code, printed = run("orchestrator graph examples/customer-service/help-desk.yaml --format svg", home)
    assert (code, printed) == (0, (ROOT / "docs" / "pictures" / "help-desk.svg").read_text(encoding="utf-8"))


@pytest.mark.anyio
async def test_the_manifest_of_the_readme_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a model: by a rule that looks the product up, and by one that makes a quote."""
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    (manifest,) = [fence for fence in fences(README) if fence.language == "yaml"]
    assert manifest.folder is not None
    folder = shutil.copytree(manifest.folder, tmp_path / "shop")
    (folder / "manifest.yaml").write_text(manifest.text)
    async with orchestrator.open(folder / "manifest.yaml", state=tmp_path / "state") as kiosk:
        answers = [await kiosk.run("Where can I find the claw hammer?"), await kiosk.run("Quote for 20 bags of cement")]
    assert [(answer.agent, answer.status) for answer in answers] == [
        ("inventory", "completed"),
        ("quotes", "completed"),
    ]
    assert "aisle" in answers[0].text and answers[1].text == "119.60 euro."
