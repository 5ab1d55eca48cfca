"""Servers of ours that are unloaded while something else happens to them, as real processes."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import anyio
import pytest

from orchestrator.deploy.resting import ProcessLoader
from orchestrator.plan.wish import Wish
from orchestrator.ports.provider import Target
from tests.servers.yard import Place, until

pytestmark = pytest.mark.anyio

TARGET = Target("llama-cpp", "http://127.0.0.1:1/v1", "tiny")


@pytest.mark.parametrize("state", ["stopping", "starting"])
async def test_one_that_is_started_with_other_options_is_unloaded_once_it_is_there(place: Place, state: str) -> None:
    """A refusal is tried again only after a while, in which whoever needs its memory would wait."""
    place.model(deaf=True)
    async with place.life() as servers:
        servers.want(place.want())
        assert await servers.settled("kiosk/tiny")
        place.model(loading=0.3)
        servers.want(place.want(options={"threads": 2}))
        await until(lambda: servers.supervisor.wards["kiosk/tiny"].state == state)
        await ProcessLoader(servers, "kiosk/tiny").unload(TARGET, inf)
        assert (servers.supervisor.wards["kiosk/tiny"].state, place.processes()) == ("resting", [])
    assert len(place.starts()) == 2


async def test_one_that_is_needed_while_it_is_unloaded_comes_back(place: Place) -> None:
    """Who wanted it unloaded does not end it once more."""
    place.model(deaf=True)
    async with place.life() as servers:
        servers.want(place.want())
        assert await servers.settled("kiosk/tiny")

        async def need() -> None:
            await until(lambda: servers.supervisor.wards["kiosk/tiny"].rests)
            servers.need("kiosk/tiny")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(need)
            await ProcessLoader(servers, "kiosk/tiny").unload(TARGET, inf)
        found = await servers.settled("kiosk/tiny")
        assert found is not None and found.state == "ready"
    assert len(place.starts()) == 2


async def test_one_without_its_model_has_none_to_unload(place: Place) -> None:
    """It goes on, and is asked whether its model has come."""
    place.model()
    async with place.life() as servers:
        servers.want(replace(place.want(), wish=Wish(("another",))))
        await until(lambda: servers.supervisor.wards["kiosk/tiny"].state == "empty")
        await ProcessLoader(servers, "kiosk/tiny").unload(TARGET, inf)
        assert servers.supervisor.wards["kiosk/tiny"].state == "empty"
