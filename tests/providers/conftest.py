"""What the tests of providers share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from orchestrator.plugins.providers.line.near import NearLine


@pytest.fixture
async def line() -> AsyncIterator[NearLine]:
    """A line that must not hold a connection that is neither idle nor in use."""
    made = NearLine()
    yield made
    idle = {each for idle in made._idle.values() for each in idle if each.usable}
    assert idle == {each for each in made._all if each.usable}
    await made.aclose()
    assert not made._all
