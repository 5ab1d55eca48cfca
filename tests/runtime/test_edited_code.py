"""Code that an operator edits: the next apply names it, loads it and serves it, whichever file it stands in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.app.client import RuntimeClient
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.diff import diff
from tests.plan.parts import agent, blueprint, rule, tool
from tests.runtime.living import Home

FILES = {
    "shop/words.py": "from helpers.deep.x import WORD\nfrom near import NEAR\nfrom .own import OWN\n"
    "def say() -> str: return f'{WORD} {NEAR} {OWN}'\n",
    "shop/__init__.py": "",
    "shop/own.py": "OWN = 'first'\n",
    "helpers/deep/x.py": "WORD = 'first'\n",
    "near.py": "NEAR = 'first'\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The operator's: a package, one without ``__init__``, and a module beside them."""
    for name, source in FILES.items():
        write(tmp_path / name, source)
    return tmp_path


def write(file: Path, source: str) -> None:
    """As an editor that a person needs some time with: at another time than before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(source)
    os.utime(file, ns=(before + 10**9, before + 10**9)) if before else None


def wanted(folder: Path, *roots: Path, module: str = "shop.words") -> Blueprint:
    """One agent that says what the function gives."""
    say = {**rule("{{ result }}"), "call": "mine.say", "arguments": {}}
    python = tool("mine", python=f"{module}:say") | {"kind": "python"}
    made = blueprint(python, agent("a", tools=["mine"], reflex=[say]), name="shop")
    return Blueprint.from_json(made.as_json() | {"folder": str(folder), "tool_roots": [str(root) for root in roots]})


def steps(client: RuntimeClient, shop: Blueprint) -> list[str]:
    """What an apply would do."""
    return [str(step) for step in diff(shop, client.observe(shop)).steps]


OPEN_ANEW = ["~ tool.mine: open anew (python) (changed: code)", "~ agent.a: replace (changed: a tool of it)"]


def test_each_file_that_the_import_read_counts_and_no_other(home: Home, folder: Path) -> None:
    """Also below a folder that is not the module's own; a file that nothing imports disturbs nobody."""
    client, shop = home.start(), wanted(folder)
    client.apply(Wanted(shop))
    assert client.run("shop", Request("hi")).text == "first first first"
    for name, says in (
        ("helpers/deep/x.py", "second first first"),
        ("near.py", "second second first"),
        ("shop/own.py", "second second second"),
    ):
        assert steps(client, shop) == []
        write(folder / name, FILES[name].replace("first", "second"))
        assert steps(client, shop)[:2] == OPEN_ANEW
        client.apply(Wanted(shop))
        assert client.run("shop", Request("hi")).text == says
    write(folder / "other.py", "WORD = 'no one asks'\n")
    write(folder / "shop" / "other.py", "WORD = 'no one asks'\n")
    assert steps(client, shop) == []


def test_an_apply_of_other_code_is_a_revision_of_its_own(home: Home, folder: Path) -> None:
    """The history knows it, also when the manifest is the same; an apply of nothing new is none."""
    client, shop = home.start(), wanted(folder)
    for _ in range(2):
        client.apply(Wanted(shop))
    write(folder / "near.py", "NEAR = 'second'\n")
    for _ in range(2):
        client.apply(Wanted(shop))
    kept = [(each["number"], each["cause"]) for each in client.history("shop")]
    assert kept == [(2, "apply, other tool code"), (1, "apply")]
    assert client.run("shop", Request("hi")).revision == 2


def test_a_thousand_other_files_hide_no_change(home: Home, folder: Path) -> None:
    """However they are called."""
    for number in range(1_005):
        write(folder / f"a{number}.py", "")
    client, shop = home.start(), wanted(folder)
    client.apply(Wanted(shop))
    write(folder / "near.py", "NEAR = 'second'\n")
    client.apply(Wanted(shop))
    assert client.run("shop", Request("hi")).text == "first second first"


def test_code_that_breaks_is_loaded_once_it_is_mended(home: Home, folder: Path) -> None:
    """What was served before serves until then."""
    client, shop = home.start(), wanted(folder)
    client.apply(Wanted(shop))
    write(folder / "near.py", "NEAR = \n")
    with pytest.raises(Exception, match=r"shop\.words cannot be loaded: SyntaxError"):
        client.apply(Wanted(shop))
    assert client.run("shop", Request("hi")).text == "first first first"
    write(folder / "near.py", "NEAR = 'third'\n")
    client.apply(Wanted(shop))
    assert client.run("shop", Request("hi")).text == "first third first"
    assert steps(client, shop) == []


def test_a_module_that_comes_into_a_folder_before_is_the_one_that_is_loaded(home: Home, folder: Path) -> None:
    """The manifest's folder goes before the other roots."""
    root = folder / "root"
    write(root / "far.py", "def say() -> str: return 'far'\n")
    client, shop = home.start(), wanted(folder, root, module="far")
    client.apply(Wanted(shop))
    write(folder / "far.py", "def say() -> str: return 'here'\n")
    assert steps(client, shop)[:2] == OPEN_ANEW
    client.apply(Wanted(shop))
    assert client.run("shop", Request("hi")).text == "here"
    (folder / "far.py").unlink()
    client.apply(Wanted(shop))
    assert client.run("shop", Request("hi")).text == "far"
