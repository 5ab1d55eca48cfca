"""A deployment that is served by one server nearby and one in the cloud, over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Script
from tests.policy.cloud import Keeping, servers


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine is looked at."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")


@dataclass
class Shop:
    """A deployment whose agent ``desk`` is served by the cloud, and what the cloud got."""

    opened: orchestrator.Opened
    far: Keeping
    near: Keeping

    async def run(self, text: str, **fields: Any) -> orchestrator.Result:
        return await self.opened.run(text, **fields)


NONE: Mapping[str, tuple[str, ...]] = {}


@asynccontextmanager
async def shop(
    folder: Path,
    *agents: Mapping[str, Any],
    script: Script | None = None,
    faults: Mapping[str, tuple[str, ...]] = NONE,
    price: Mapping[str, float] | None = None,
    **deployment: Any,
) -> AsyncIterator[Shop]:
    """``agents``: those of the manifest; ``desk`` alone where there are none."""
    near, far = (
        simulated(["m"], faults=faults.get("near", ())),
        simulated(["m", "embed"], script, faults.get("far", ())),
    )
    async with servers(near, far) as there:
        cloud: dict[str, Any] = {"provider": "openai-compatible", "endpoint": f"{there.far.url}/v1", "zone": "cloud"}
        cloud |= {"price": price} if price is not None else {}
        written = {
            "metadata": {"name": "shop"},
            "deployment": {
                "type": "single-device",
                "models": [
                    {
                        "alias": "near",
                        "provider": "openai-compatible",
                        "model": "m",
                        "endpoint": f"{there.near.url}/v1",
                    },
                    {"alias": "far", "model": "m", **cloud},
                    {"alias": "vectors", "model": "embed", **cloud},
                ],
                "agents": list(agents) or [{"name": "desk", "model": "far", "instructions": "Answer."}],
                **deployment,
            },
        }
        path = folder / "shop.yaml"
        path.write_text(json.dumps(written))
        async with orchestrator.open(path) as opened:
            yield Shop(opened, there.far, there.near)
