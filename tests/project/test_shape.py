"""The rules of size and place that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.project.tree import PACKAGE, ROOT, modules, tracked_files

FILE_LINES = 400
FUNCTION_LINES = 60
# Words that say nothing about what a thing is.
EMPTY_WORDS = {"manager", "helper", "helpers", "util", "utils", "common", "base", "processor", "service", "wrapper"}
EMPTY_WORDS |= {"data", "info"}
# What silences a checker, and nothing after it.
BARE = re.compile(r"#\s*(?:noqa(?::[A-Z0-9, ]+)?|type:\s*ignore(?:\[[^]]*\])?|pragma: no \w+)\s*$")


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _classes(path: Path) -> Iterator[str]:
    yield from (node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def _place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_are_short() -> None:
    """No file of the package is longer than a person reads at one go."""
    lengths = {_place(path): len(path.read_text().splitlines()) for path in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def test_functions_are_short() -> None:
    """No function of the package is longer than a screen."""
    long = [
        f"{_place(path)}:{function.lineno} {function.name}"
        for path in modules()
        for function in _functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES
    ]
    assert long == []


def test_packages_run_nothing_when_they_are_imported() -> None:
    """`__init__.py` holds a docstring and nothing else; only the root hands things on."""
    inits = [path for path in modules() if path.name == "__init__.py" and path.parent != PACKAGE]
    bodies = {_place(path): ast.parse(path.read_text()).body for path in inits}
    more = [name for name, body in bodies.items() if len(body) != 1 or not isinstance(body[0], ast.Expr)]
    assert more == []


def test_every_folder_of_code_is_a_package() -> None:
    """A folder without `__init__.py` would be missed by the import contracts."""
    folders = {path.parent for path in modules()}
    assert [_place(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_names_say_what_a_thing_is() -> None:
    """No file and no class has a word in its name that would fit anything."""
    named = [(_place(path), path.stem) for path in modules()]
    named += [(_place(path), name) for path in modules() for name in _classes(path)]
    assert [pair for pair in named if _words(pair[1]) & EMPTY_WORDS] == []


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    """Neither the checkout's own place nor a home folder is in any file."""
    private = [f"{ROOT}/".encode(), f"{Path.home()}/".encode()]
    naming = [_place(path) for path in tracked_files() if any(place in path.read_bytes() for place in private)]
    assert naming == []


def test_what_is_silenced_has_its_reason_beside_it() -> None:
    """A fault that a checker must not tell of is told to the reader, with why it is none."""
    python = [path for path in tracked_files() if path.suffix == ".py"]
    bare = [
        f"{_place(path)}:{number}"
        for path in python
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if BARE.search(line)
    ]
    assert bare == []


def test_folders_that_are_kept_are_made_for_their_user_alone() -> None:
    """`mkdir(mode=…, parents=True)` gives the mode to the last folder only: `make_private` gives it to all. What a user named
    as the place of a file is the user's, and made as the user makes folders."""
    theirs = {"orchestrator/app/exporting/folder.py", "orchestrator/app/unit.py", "orchestrator/cli/verbs/init.py"}
    made = {_place(path) for path in modules() if re.search(r"mkdir\([^)]*parents=True", path.read_text())}
    assert made - theirs == set()
