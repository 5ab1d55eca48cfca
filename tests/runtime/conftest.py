"""A home for each test, short enough for a socket's path, and empty of processes when the test is over."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.living import Home


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A fresh home."""
    path = Path(tempfile.mkdtemp(prefix="orc-"))
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(path))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    made = Home(path)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(path, ignore_errors=True)
