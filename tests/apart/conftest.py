"""Tests on separate machines are left out, with the reason, where such cannot be made."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import OrchestratorError
from orchestrator.plugins.sidecars.nats_server import find_server
from tests.apart.net import missing


@pytest.fixture(scope="session", autouse=True)
def _apart() -> None:
    try:
        find_server({})
    except OrchestratorError as error:
        pytest.skip(error.line)  # the extra mesh is not installed, as the line says
    if why := missing():
        pytest.skip(why)  # namespaces need root and Linux: it names what is missing
