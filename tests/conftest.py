"""What every test shares: the event loop, the property tests' settings, the real model servers."""

from __future__ import annotations

import pytest
from hypothesis import settings

pytest_plugins = ["tests.real.llama"]

# The same examples each time: a red build is red for everybody, and time limits belong to pytest.
settings.register_profile("steady", derandomize=True, deadline=None, print_blob=True)
# For a longer hunt by hand: pytest --hypothesis-profile=hunt
settings.register_profile("hunt", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as the runtime does; a test of pure anyio code may ask for trio as well."""
    return "asyncio"
