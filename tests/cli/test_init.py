"""``init``: starters that work at once, and nothing that is ever overwritten."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import orchestrator
from orchestrator.cli.verbs.init import STARTERS
from orchestrator.manifest.parse import parse
from tests.cli.commands import ROOT, command, here


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    empty = tmp_path / "work"
    empty.mkdir()
    monkeypatch.chdir(empty)
    return empty


def test_a_name_that_a_shell_would_split_is_quoted_in_what_to_type(folder: Path) -> None:
    ran = here("init", "minimal", "-o", "we ird.yaml")
    assert (ran.code, (folder / "we ird.yaml").is_file()) == (0, True)
    assert "next: orchestrator validate 'we ird.yaml'\n      orchestrator apply 'we ird.yaml'\n" in ran.out


@pytest.mark.parametrize("starter", STARTERS)
def test_every_starter_is_valid(starter: str, folder: Path) -> None:
    """Without an error; what it needs is beside it, and editors find the schema."""
    ran = here("init", starter)
    assert ran.code == 0
    (manifest,) = folder.glob("*.yaml")
    then = "plan" if starter == "distributed-edge" else "apply"  # a mesh cannot be applied yet
    assert f"next: orchestrator validate {manifest.name}\n      orchestrator {then} {manifest.name}\n" in ran.out
    assert manifest.read_text().startswith("# yaml-language-server: $schema=deployment.schema.json\n")
    assert json.loads((folder / "deployment.schema.json").read_text())["$schema"]
    assert here("validate", manifest.name).code == 0


@pytest.mark.parametrize("starter", STARTERS)
def test_every_starter_fits_the_schema_beside_it(starter: str, folder: Path) -> None:
    """So that an editor marks nothing in a manifest that was just written, variables among it."""
    here("init", starter)
    (manifest,) = folder.glob("*.yaml")
    schema = json.loads((folder / "deployment.schema.json").read_text())
    Draft202012Validator(schema).validate(parse(manifest.name, manifest.read_text()).tree)


def test_every_folder_of_starters_is_in_the_list() -> None:
    """And the other way round."""
    folders = {path.name for path in (ROOT / "orchestrator" / "cli" / "starters").iterdir()}
    assert folders == set(STARTERS)
    assert [line.split()[0] for line in here("init", "--list").out.splitlines()] == list(STARTERS)


def test_the_smallest_starter_is_the_default(folder: Path) -> None:
    """A newcomer need not choose."""
    here("init")
    assert (folder / "assistant.yaml").exists()


def test_nothing_is_overwritten(folder: Path) -> None:
    """One file that exists is enough to write none at all."""
    (folder / "products.csv").write_text("mine")
    ran = here("init", "kiosk")
    assert ran.code == 64
    assert ran.err.startswith("error[ORC601]: products.csv exists already\n  cure: ")
    assert [path.name for path in folder.iterdir()] == ["products.csv"]
    assert (folder / "products.csv").read_text() == "mine"


def test_all_that_exists_is_named(folder: Path) -> None:
    """The schema is kept where it is the same."""
    assert here("init", "kiosk").code == 0
    assert here("init", "kiosk").err.startswith("error[ORC601]: kiosk.yaml and products.csv exist already\n")


def test_the_output_names_the_deployment(folder: Path) -> None:
    """A folder that does not exist is made; what the manifest needs goes beside it."""
    assert here("init", "kiosk", "-o", "site/milan.yaml").code == 0
    assert sorted(path.name for path in (folder / "site").iterdir()) == [
        "deployment.schema.json",
        "milan.yaml",
        "products.csv",
    ]
    assert '"milan"' in here("validate", "site/milan.yaml").out


@pytest.mark.parametrize("starter", STARTERS)
def test_a_dash_prints_the_manifest_and_writes_nothing(starter: str, folder: Path) -> None:
    """Nothing but the manifest goes to standard output, so that it can be piped on; what it needs beside it is told."""
    ran = here("init", starter, "-o", "-")
    assert ran.code == 0
    assert list(folder.iterdir()) == []
    assert "$schema" not in ran.out
    parse("piped.yaml", ran.out)
    needs = "it needs products.csv beside it: orchestrator init kiosk writes both\n" if starter == "kiosk" else ""
    assert ran.err == needs


@pytest.mark.parametrize("verb", [("schema",), ("graph", "../sound.yaml", "--format", "mermaid")])
def test_a_dash_is_standard_output_for_other_verbs_too(verb: tuple[str, ...], folder: Path) -> None:
    """As everywhere else."""
    (folder.parent / "sound.yaml").write_text("deployment: {type: single-device, agents: [orders]}\n")
    ran = here(*verb, "-o", "-")
    assert (ran.code, list(folder.iterdir())) == (0, [])
    assert len(ran.out) > 20


def test_two_starters_share_one_schema(folder: Path) -> None:
    """It is kept where it is the same."""
    assert here("init", "kiosk").code == 0
    assert here("init", "minimal").code == 0


def test_the_schema_can_be_left_out(folder: Path) -> None:
    """Then the manifest does not speak of it."""
    assert here("init", "minimal", "--no-schema").code == 0
    assert [path.name for path in folder.iterdir()] == ["assistant.yaml"]
    assert "$schema" not in (folder / "assistant.yaml").read_text()


def test_a_folder_that_cannot_be_written_is_told(folder: Path) -> None:
    """Not a crash."""
    (folder / "file").write_text("")
    ran = here("init", "minimal", "-o", "file/x.yaml")
    assert ran.code == 64 and "cannot be written" in ran.err


def test_the_schema_can_be_printed_and_written(folder: Path) -> None:
    """The same text both times."""
    printed = here("schema").out
    assert here("schema", "-o", "s.json").code == 0
    assert (folder / "s.json").read_text() == printed
    assert json.loads(printed)["$schema"].endswith("2020-12/schema")


def test_a_drawing_can_be_written_to_a_file(folder: Path) -> None:
    """The same text as on stdout."""
    here("init", "kiosk")
    printed = here("graph", "kiosk.yaml", "--format", "svg").out
    ran = here("graph", "kiosk.yaml", "--format", "svg", "-o", "kiosk.svg")
    assert (ran.code, ran.out, ran.err) == (0, "", "wrote kiosk.svg\n")
    assert (folder / "kiosk.svg").read_text() == printed
    assert here("graph", "kiosk.yaml", "-o", "no/such/folder").code == 64


@pytest.mark.anyio
async def test_the_kiosk_asks_back_where_no_product_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ "it" is no part of a word, and no product."""
    assert here("init", "kiosk").code == 0
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(folder.parent / "home"))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    async with orchestrator.open(folder / "kiosk.yaml") as deployment:
        asked = [
            await deployment.run(text) for text in ("how much is it?", "is it in stock?", "how much is white paint?")
        ]
    assert [result.status for result in asked] == ["unsure", "unsure", "completed"]
    assert asked[2].text.startswith("White paint 10 l: 39.90 euro")


@pytest.mark.parametrize("argv", [("init", "kiosk", "-o", "shop/kiosk.yaml"), ("graph", "kiosk.yaml", "-o", "drawn")])
def test_a_disk_that_is_full_leaves_no_half_of_a_file(argv: tuple[str, ...], folder: Path) -> None:
    """It is named, with the reason; what could not be written whole is not there."""
    assert here("init", "kiosk").code == 0
    there = sorted(path.name for path in folder.rglob("*") if path.is_file())

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    ended = subprocess.run(
        command(*argv),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=small,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (64, "")
    assert f"{argv[-1]} cannot be written: File too large" in ended.stderr
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == there
