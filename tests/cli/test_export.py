"""``orchestrator export``: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from tests.cli.commands import ROOT, golden, here

CASES = ROOT / "tests" / "export" / "cases"
FLEET, SHOP = str(CASES / "fleet.yaml"), str(CASES / "shop.yaml")
KIOSK = str(ROOT / "examples" / "retail-kiosk" / "kiosk.yaml")
ENGINES = ("kubernetes", "compose", "systemd")


def _without_places(text: str) -> str:
    return text.replace(sys.executable, "PYTHON").replace(f"{ROOT}/", "")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["fleet", "shop"])
def test_an_export_is_printed(engine: str, name: str) -> None:
    """As in the golden file; what is left to do goes beside it."""
    include = ["--include", "data/*.txt"] if name == "shop" else []
    image = ["--image", "registry.example.org/orchestrator:1"]
    ran = here("export", engine, str(CASES / f"{name}.yaml"), *include, *image)
    assert ran.code == 0
    ending = "txt" if engine == "systemd" else "yaml"
    text = _without_places(ran.out)
    assert text == golden(f"export/{name}.{engine}.{ending}", text)
    notes = _without_places("".join(f"{line}\n" for line in ran.err.splitlines() if line.startswith("note: ")))
    assert notes and notes == golden(f"export/{name}.{engine}.notes.txt", notes)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("manifest", ["manifests/single-device.yaml", "manifests/distributed-edge.yaml"])
def test_the_manifests_of_the_project_are_exported(engine: str, manifest: str) -> None:
    """Both types, as they are."""
    assert here("export", engine, str(ROOT / manifest)).code == 0


def test_an_export_is_written_into_a_folder(tmp_path: Path) -> None:
    """Each name is told; a second time it is the same, and a file of somebody else stops it."""
    words = ("export", "compose", FLEET, "-o", str(tmp_path / "out"))
    ran = here(*words)
    assert ran.code == 0 and f"wrote {tmp_path}/out/compose.yaml\n" in ran.out
    assert stat.S_IMODE((tmp_path / "out" / "fleet-till.env").stat().st_mode) == 0o600
    assert (tmp_path / "out" / "NOTES.txt").read_text() == "".join(
        f"- {line.removeprefix('note: ')}\n" for line in ran.err.splitlines() if line.startswith("note: ")
    )
    assert here(*words).code == 0
    (tmp_path / "out" / "compose.yaml").write_text("services: {}\n")
    refused = here(*words)
    assert refused.code == 64 and "compose.yaml is there, and is not as an export wrote it" in refused.err
    assert here(*words, "--force").code == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_faults_of_a_manifest_are_told_as_validate_does(engine: str, tmp_path: Path) -> None:
    """The same words, the same code, and nothing is written."""
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text("deployment: {type: single-device, agents: [{name: a, escalate_to: nobody}]}\n")
    exported, validated = (
        here("export", engine, str(faulty), "-o", str(tmp_path / "out")),
        here("validate", str(faulty)),
    )
    assert exported.code == validated.code == 2
    told = exported.err.split("\n\n")[0]
    assert "ORC" in told and told in validated.err + validated.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nomad", KIOSK], "invalid choice: 'nomad'"),
        (["compose", KIOSK, "--namespace", "edge"], "compose has no namespaces"),
        (["kubernetes"], "no manifest is named"),
        (["kubernetes", KIOSK, "--image", "two words"], '"two words" is no image'),
    ],
)
def test_what_does_not_fit_is_refused(words: list[str], said: str) -> None:
    """As wrong usage."""
    ran = here("export", *words)
    assert ran.code == 64 and said in ran.err
