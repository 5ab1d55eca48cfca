"""Looking for model servers: who is asked, and what is told where somebody cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import DeployError
from orchestrator.deploy.observe import Observer
from orchestrator.plan.binding import bind_all
from orchestrator.plan.observed import ObservedState
from tests.deploy.fakes import FakeProvider, Surroundings, workshop
from tests.plan.parts import agent, blueprint, model

pytestmark = pytest.mark.anyio
ACME: dict[str, Any] = {"provider": "plugin:acme", "ids": {"plugin:acme": ["m"]}}
SHOP = blueprint(model(**ACME), agent("stock", models=["phi-4-mini"]))


def loading(name: str) -> Any:
    """No package has ``gone``."""
    if name == "plugin:gone":
        raise DeployError('no provider is called "plugin:gone"')
    return FakeProvider()


async def test_a_provider_of_another_package_is_asked_where_a_manifest_names_it(tmp_path: Path) -> None:
    """Once, and beside the usual ones."""
    around = Surroundings()
    observer = Observer(replace(workshop(around, tmp_path), provider=loading))
    await observer.look([SHOP, SHOP])
    assert around.asked_beside == ["plugin:acme"]


async def test_a_provider_whose_package_is_gone_is_told_and_stops_nothing(tmp_path: Path) -> None:
    """The others are looked for, and who needs it knows why it is not there."""
    around = Surroundings()
    observer = Observer(replace(workshop(around, tmp_path), provider=loading))
    gone = blueprint(model(provider="plugin:gone"), agent("stock", models=["phi-4-mini"]))
    await observer.look([gone, SHOP])
    assert around.asked_beside == ["plugin:acme"]
    bound = bind_all(gone, ObservedState(servers=observer.servers, silent=observer.silent))
    assert bound["phi-4-mini"].missing == 'no provider is called "plugin:gone"'
