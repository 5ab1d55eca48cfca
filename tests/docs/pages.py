"""The pages of the documentation as tests see them: their fences, their links and the commands that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
_FENCE = re.compile(r"^(```+)([^\n`]*)\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)


def place(path: Path) -> str:
    """A path as it is written in the checkout."""
    return path.relative_to(ROOT).as_posix()


@dataclass(frozen=True, slots=True)
class Fence:
    """A block of code of a page.

    ``words`` are those after the language. ``fragment``: not whole by itself. ``in=FOLDER``: it belongs beside the files of
    that folder. ``session``: commands that are run in a row, with what they print.
    """

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{place(self.page)}:{self.line}"

    @property
    def folder(self) -> Path | None:
        """The folder that it belongs to."""
        found = next((word.removeprefix("in=") for word in self.words if word.startswith("in=")), None)
        return ROOT / found if found else None


def fences(page: Path) -> list[Fence]:
    """The fences of one page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, *words = match[2].split() or [""]
        found.append(Fence(page, text.count("\n", 0, match.start()) + 1, language, tuple(words), match[3]))
    return found


def all_fences(language: str) -> list[Fence]:
    """The fences of all pages in one language."""
    return [fence for page in PAGES for fence in fences(page) if fence.language == language]


def prose(page: Path) -> str:
    """A page without its fences, comments and generated parts' markers."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def anchor(heading: str) -> str:
    """The name by which a link reaches a heading, as GitHub makes it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip())
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Command:
    """An ``orchestrator`` command line of a page."""

    page: Path
    text: str

    def __str__(self) -> str:
        return f"{place(self.page)}: {self.text}"


def command_lines() -> list[Command]:
    """Every command line of every page, in fences and in the prose, each once a page."""
    found = {(page, text): None for page in PAGES for text in _commands_of(page)}
    return [Command(page, text) for page, text in found]


def _commands_of(page: Path) -> Iterator[str]:
    for fence in fences(page):
        for line in fence.text.splitlines():
            match = re.match(r"^\s*(?:\$ )?(?:.*\| )?orchestrator (\S.*)$", line)
            if match and fence.language in ("", "sh", "console"):
                yield match[1]
    for inline in re.findall(r"`([^`\n]+)`", prose(page)):
        match = re.match(r"^(?:.*\| )?orchestrator (\S.*)$", inline)
        if match:
            yield match[1]
