"""The examples of the pages work: manifests are valid, programs run, command lines are accepted, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.app.compile import compile_files
from orchestrator.cli.parser import parser_of
from orchestrator.cli.table import find
from orchestrator.core.errors import UsageError
from tests.docs.pages import PAGES, ROOT, Command, Fence, all_fences, anchor, command_lines, fences, place, prose
from tests.docs.sessions import surroundings

LANGUAGES = {"", "console", "ini", "json", "python", "sh", "text", "toml", "yaml"}


def whole(language: str) -> list[Fence]:
    """What must work by itself."""
    return [fence for fence in all_fences(language) if "fragment" not in fence.words]


def test_every_fence_says_what_it_is() -> None:
    """A fence of a language that nobody checks would rot; a fragment of a manifest is marked as one."""
    found = [fence for page in PAGES for fence in fences(page)]
    assert {fence.language for fence in found} <= LANGUAGES
    words = {word for fence in found for word in fence.words if not word.startswith("in=")}
    assert words - {"exits=5"} <= {"fragment", "session"}


@pytest.mark.parametrize("fence", whole("yaml"), ids=str)
def test_a_manifest_of_the_pages_is_valid(fence: Fence, tmp_path: Path) -> None:
    """Without an error, and without a warning."""
    folder = tmp_path / "folder"
    shutil.copytree(fence.folder, folder) if fence.folder else folder.mkdir()
    manifest = folder / "manifest.yaml"
    manifest.write_text(fence.text)
    compilation = compile_files([str(manifest)], environment={})
    assert [str(one.code) for one in compilation.diagnostics if one.severity.value != "note"] == []


@pytest.mark.parametrize("fence", whole("python"), ids=str)
def test_a_program_of_the_pages_runs(fence: Fence, tmp_path: Path) -> None:
    """To its end, from the root of the checkout, with warnings as errors."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", fence.text],
        cwd=ROOT,
        env=surroundings(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("command", command_lines(), ids=str)
def test_a_command_line_of_the_pages_is_accepted(command: Command) -> None:
    """By the parser of its verb: the verb and every option exist."""
    words = shlex.split(re.split(r" [|>] |   #", command.text)[0])
    if words[0] in ("VERB", "--help", "--version", "--no-color", "help"):
        return
    verb = find(words[0])
    assert verb is not None, f"there is no verb {words[0]}"
    if words[1:] in ([], ["…"]) or "--help" in words:
        return
    try:
        parser_of(verb).parse_args([word for word in words[1:] if word != "…"])
    except UsageError as error:
        pytest.fail(error.message)


LINKS = sorted({(place(page), target) for page in PAGES for target in re.findall(r"\]\(([^)\s]+)\)", prose(page))})


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    """To a file of the checkout, and to a heading that is there."""
    if target.startswith(("http://", "https://")):
        return
    name, _, heading = target.partition("#")
    found = (ROOT / page).parent / name if name else ROOT / page
    assert found.exists(), target
    if heading:
        titles = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
        assert heading in {anchor(title) for title in titles}
