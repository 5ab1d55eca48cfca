"""The bus over NATS keeps every promise of the port, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.plugins.buses.nats import opened
from orchestrator.testing.bus_conformance import BusConformance, BusSubject
from tests.buses.servers import fleet_in

pytestmark = pytest.mark.anyio


class TestNats(BusConformance):
    """Two clients of one hub, which is killed and begun again."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[BusSubject]:
        with fleet_in(tmp_path) as fleet:
            hub = fleet.servers[0]

            async def cut() -> None:
                hub.kill()

            async def heal() -> None:
                hub.start()

            async with opened(fleet.options("a")) as a, opened(fleet.options("b")) as b:
                for bus in (a, b):
                    await bus.ready(10)
                await a.prepare()
                yield BusSubject(a, b, cut, heal)
