"""Points where tests let things happen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from orchestrator.core.failpoint import arm, disarm, failpoint


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    disarm()


def test_an_armed_point_lets_it_happen_when_it_is_passed_for_that_time() -> None:
    """And no other point does."""
    happened: list[str] = []
    arm("a.point", 2, lambda: happened.append("it"))
    for name in ("a.point", "another.point"):
        failpoint(name)
    assert happened == []
    failpoint("a.point")
    assert happened == ["it"]
    disarm()
    failpoint("a.point")
    assert happened == ["it"]


def test_the_environment_arms_nothing_by_itself() -> None:
    """Only who puts a process together does, so that a library that is imported never ends a process."""
    code = "import orchestrator.core.failpoint as it; it.declare('a.point'); it.failpoint('a.point'); print('alive')"
    environment = {**os.environ, "ORCHESTRATOR_FAIL_AT": "a.point"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == "alive\n"
