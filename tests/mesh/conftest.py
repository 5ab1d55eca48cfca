"""Nodes are tested on virtual time: hours take none."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time jumps to the next thing that waits."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}
