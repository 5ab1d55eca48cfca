"""A file that a restricted agent writes is one room: whoever reads it is restricted too, in every deployment and by every link."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import here
from tests.runtime.living import Home

CANARY = "canary-7f3a"
KEEP = {"sql": "insert into note values (:text)", "parameters": {"text": "string"}}
READ = {"sql": "select text from note"}
WRITER = {
    "name": "doctor",
    "privacy_mode": True,
    "tools": ["notes"],
    "reflex": [
        {"when": {"regex": "my file"}, "call": "notes.keep", "arguments": {"text": "{{ text }}"}, "say": "noted"}
    ],
}
READER = {
    "name": "reader",
    "tools": ["others"],
    "reflex": [{"when": {"regex": "what is"}, "call": "others.read", "say": "I read: {{ result }}"}],
}
FRONT = {
    "name": "front",
    "role": "router",
    "strategy": "rules",
    "routes": [{"to": "doctor", "when": {"regex": "my file"}}, {"to": "reader", "when": {"regex": "what is"}}],
}
NOTES = {"name": "notes", "use": "database", "path": "shared.db", "writable": True, "queries": {"keep": KEEP}}


def others(path: str) -> dict[str, Any]:
    return {"name": "others", "use": "database", "path": path, "queries": {"read": READ}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the file, another name of it, a link to it, and a file that is like it."""
    for name in ("shared.db", "apart.db"):
        with sqlite3.connect(tmp_path / name) as made:
            made.execute("create table note (text)")
    os.link(tmp_path / "shared.db", tmp_path / "hard.db")
    (tmp_path / "soft.db").symlink_to("shared.db")
    return tmp_path


def apply(folder: Path, name: str, agents: list[dict[str, Any]], tools: list[dict[str, Any]]) -> None:
    inside = {"type": "single-device", "entry": agents[0]["name"], "agents": agents, "tools": tools}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"metadata": {"name": name}, "deployment": inside}))
    ran = here("apply", str(path), "--yes")
    assert ran.code == 0, ran.err


def asked(name: str, text: str) -> tuple[str, bool]:
    """What is answered, and whether that counts as restricted."""
    ran = here("run", name, text, "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    return result["text"], result["data_class"] == "restricted"


@pytest.mark.parametrize("path", ["shared.db", "./d/../shared.db", "hard.db", "soft.db"])
def test_what_one_deployment_wrote_another_reads_as_restricted(path: str, home: Home, folder: Path) -> None:
    (folder / "d").mkdir()
    home.start()
    apply(folder, "pb", [READER], [others(path)])
    apply(folder, "pc", [READER], [others("apart.db")])
    assert asked("pb", "what is there") == ("I read: []", False)
    apply(folder, "pa", [WRITER], [NOTES])
    assert asked("pa", f"my file: {CANARY}") == ("noted", True)
    text, restricted = asked("pb", "what is there")
    assert CANARY in text and restricted
    assert asked("pc", "what is there") == ("I read: []", False), "another file is another room"
    assert here("down", "pa").code == 0
    assert asked("pb", "what is there")[1], "what is in the file outlives who wrote it"


@pytest.mark.parametrize("path", ["hard.db", "soft.db"])
def test_a_link_is_another_door_to_the_same_room(path: str, home: Home, folder: Path) -> None:
    home.start()
    apply(folder, "p", [FRONT, WRITER, READER], [NOTES, others(path)])
    asked("p", f"my file: {CANARY}")
    text, restricted = asked("p", "what is there")
    assert CANARY in text and restricted
