"""The locks pin what pyproject.toml asks for, and say nothing of the machine that wrote them."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orchestrator.core.extras import EXTRAS
from tests.project.tree import ROOT

LOCKS = ["constraints.txt", "constraints-mesh.txt", "constraints-dev.txt"]


UNLOCKED = frozenset({"foundry"})
"""foundry-local-sdk wants one version of onnxruntime exactly, to which it would hold the extras onnx and encoder, and has no build
for Linux on ARM, where nothing else would be installed for want of it. tests/installed/check_foundry.py installs it for itself."""


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _pins(lock: str) -> dict[str, set[str]]:
    """Versions by name; a name has several where platforms or Python versions differ."""
    pins: dict[str, set[str]] = defaultdict(set)
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ \\;]+)", (ROOT / lock).read_text(), re.MULTILINE):
        pins[canonicalize_name(name)].add(version)
    return pins


def _misfits(asked: list[str], lock: str) -> list[str]:
    pins = _pins(lock)
    requirements = [Requirement(line) for line in asked]
    return [
        str(wanted)
        for wanted in requirements
        if not (versions := pins.get(canonicalize_name(wanted.name)))
        or not all(wanted.specifier.contains(version) for version in versions)
    ]


@pytest.mark.parametrize("lock", LOCKS)
def test_names_no_host_and_no_folder(lock: str) -> None:
    """Only names, versions, markers, hashes and the reason of each line are in a lock."""
    lines = (ROOT / lock).read_text().splitlines()
    pin = re.compile(r"[a-z0-9][a-z0-9._-]*==[a-z0-9.+!]+( ; [^/]+)? \\")
    digest = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    comment = re.compile(r"\s*#[^/@]*")
    strange = [line for line in lines if not any(shape.fullmatch(line) for shape in (pin, digest, comment))]
    assert strange == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_is_followed_by_its_hashes(lock: str) -> None:
    """pip refuses a lock in which one hash is missing; so does this test, sooner."""
    lines = (ROOT / lock).read_text().splitlines()
    bare = [line for line, after in pairwise(lines) if "==" in line and "--hash" not in after]
    assert bare == []


def test_the_runtime_lock_fits_the_project() -> None:
    """What the package needs, and what builds it, is pinned within the bounds that are asked for."""
    project = _project()
    asked = project["project"]["dependencies"] + project["build-system"]["requires"]
    assert _misfits(asked, "constraints.txt") == []


def test_the_development_lock_fits_every_extra_that_can_be_in_it() -> None:
    """Each extra can be installed from the development lock, and the script that makes it names it."""
    extras: dict[str, list[str]] = _project()["project"]["optional-dependencies"]
    lines = [line for name, lines in extras.items() for line in lines if name not in UNLOCKED]
    assert _misfits(lines, "constraints-dev.txt") == []
    named = set(re.findall(r"--extra (\w+)", (ROOT / "scripts" / "lock.sh").read_text()))
    assert named == set(extras) - UNLOCKED


def test_an_extra_that_is_in_no_lock_has_a_bound() -> None:
    """The next major version is not tried, and nothing of it is pinned by the way."""
    extras: dict[str, list[str]] = _project()["project"]["optional-dependencies"]
    for name in UNLOCKED:
        for requirement in map(Requirement, extras[name]):
            assert {each.operator for each in requirement.specifier} == {">=", "<"}
            assert canonicalize_name(requirement.name) not in _pins("constraints-dev.txt")


def test_the_lock_of_a_fleet_fits_its_extra() -> None:
    """What the container installs is what a node needs."""
    project = _project()["project"]
    assert _misfits(project["dependencies"] + project["optional-dependencies"]["mesh"], "constraints-mesh.txt") == []


@pytest.mark.parametrize("lock", ["constraints.txt", "constraints-mesh.txt"])
def test_tests_run_on_the_versions_that_users_run(lock: str) -> None:
    """The development lock holds every pin of those for users."""
    runtime, development = _pins(lock), _pins("constraints-dev.txt")
    assert {name: versions for name, versions in runtime.items() if development.get(name) != versions} == {}


def test_the_lock_covers_what_builds_the_package() -> None:
    """The group that the lock is made from says the same as the build system's own list."""
    project = _project()
    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]


def test_every_extra_has_its_line_to_install() -> None:
    """The table that errors and `doctor` tell is that of the project file."""
    declared = _project()["project"]["optional-dependencies"]
    told = {name: sorted(extra.packages) for name, extra in EXTRAS.items()}
    assert {
        name: sorted(Requirement(each).name for each in needs) for name, needs in declared.items() if name != "dev"
    } == told
