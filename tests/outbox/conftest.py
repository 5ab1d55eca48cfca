"""What waits is tested on virtual time: days take none."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time jumps to the next thing that waits, and stands still while the disk is used: that is done from threads, which the
    clock of trio knows nothing of, so that on a busy machine a write would seem to take a minute."""
    clock = MockClock(autojump_threshold=0.01)
    jump = clock.jump

    def jump_with_nobody_at_work(seconds: float) -> None:
        if trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0:
            jump(seconds)

    clock.jump = jump_with_nobody_at_work  # type: ignore[method-assign] # the class is final, and has no other place to ask
    return "trio", {"clock": clock}
