"""The simulated endpoint with a memory of its own keeps the promises of the port ``Loader``."""

from __future__ import annotations

import pytest

from orchestrator.testing.endpoint import simulated
from orchestrator.testing.lifecycle_conformance import LifecycleSubject, LoaderConformance
from orchestrator.testing.simulated_loader import GB, SimulatedLoader

pytestmark = pytest.mark.anyio


class TestSimulatedLoader(LoaderConformance):
    """The public suite."""

    @pytest.fixture
    async def subject(self) -> LifecycleSubject:
        loader = SimulatedLoader(simulated(["a", "b"]), 2 * GB, {"a": GB, "b": GB}, 0.02)
        return LifecycleSubject(loader, loader.url, loader.target("a"))
