"""What waits is tested on virtual time: days take none."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time jumps to the next thing that waits; not at once, as the disk is used from threads, which no clock waits for."""
    return "trio", {"clock": MockClock(autojump_threshold=0.01)}
