"""What a restricted agent sees arrives in the cloud on no way, and on each of them it does where the agent is not restricted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator import Event, ManifestError, Message, Result
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Rule, Script
from tests.policy.cloud import Servers, servers
from tests.policy.lives import applied, asked, life
from tests.policy.shop import alone
from tests.policy.ways import CANARY, WAYS, Way, manifest

__all__ = ["alone"]
pytestmark = pytest.mark.anyio

Listen = Callable[[Event], None]
READS = Script(
    [
        Rule("list tickets", say="I read: {result}", calls=(("tickets_list", {}),)),
        Rule("what is planned", say="I read: {result}", calls=(("others_list", {}),)),
    ]
)
"""The model in the cloud reads what there is, and gets it back."""


def _fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    turns = tuple(Message(role, text) for role, text in fields.get("history", ()))
    return {**fields, "history": turns}


async def went(way: Way, folder: Path, *, private: bool, listen: Listen | None = None) -> tuple[Servers, list[Result]]:
    """Ask what the way asks; gives the servers with all that they were sent. Raises ``ManifestError``."""
    near = simulated(["m"], faults=way.near_fails)
    far = simulated(["m", "embed"], READS)
    results = []
    async with servers(near, far) as there:
        path = folder / "clinic.yaml"
        path.write_text(json.dumps(manifest(way, there.near.url, there.far.url, private=private)))
        async with orchestrator.open(path, state=folder / "state") as clinic:
            for text, fields in way.asks:
                results.append(await clinic.run(text, listen=listen, **_fields(fields)))
    return there, results


async def went_with_restarts(way: Way, folder: Path, *, private: bool) -> tuple[Servers, list[Result]]:
    """The same, where the runtime ends after each request and another one starts."""
    results = []
    async with servers(simulated(["m"], faults=way.near_fails), simulated(["m", "embed"], READS)) as there:
        path = folder / "clinic.yaml"
        path.write_text(json.dumps(manifest(way, there.near.url, there.far.url, private=private)))
        async with life(folder) as planes:
            await applied(planes, path)
        for text, fields in way.asks:
            async with life(folder) as planes:
                results.append(await asked(planes, "clinic", text, **_fields(fields)))
    return there, results


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_nothing_that_a_restricted_agent_sees_reaches_the_cloud(way: Way, tmp_path: Path) -> None:
    """Either nothing is applied, or the canary is in nothing that the cloud is sent."""
    if way.refused:
        with pytest.raises(ManifestError) as refused:
            await went(way, tmp_path, private=True)
        assert [each.code for each in refused.value.diagnostics if each.severity.value == "error"] == [way.refused]
        return
    there, results = await went(way, tmp_path, private=True)
    assert there.far.got(CANARY) == []
    assert len(results) == len(way.asks)


@pytest.mark.parametrize("way", [way for way in WAYS if not way.refused], ids=lambda way: way.name)
async def test_nor_where_the_answer_is_streamed(way: Way, tmp_path: Path) -> None:
    """Both arms: a stream goes another way through the loop."""
    heard: list[Event] = []
    there, _ = await went(way, tmp_path, private=True, listen=heard.append)
    assert there.far.got(CANARY) == [] and heard
    (tmp_path / "control").mkdir()
    there, _ = await went(way, tmp_path / "control", private=False, listen=heard.append)
    assert there.far.got(CANARY)


@pytest.mark.parametrize("way", [way for way in WAYS if not way.refused], ids=lambda way: way.name)
async def test_nor_where_the_runtime_starts_anew_after_each_request(way: Way, tmp_path: Path) -> None:
    """Both arms: what was said and written in one life is read in the next."""
    for name in ("private", "control"):
        (tmp_path / name).mkdir()
    there, results = await went_with_restarts(way, tmp_path / "private", private=True)
    assert there.far.got(CANARY) == []
    assert len(results) == len(way.asks)
    there, results = await went_with_restarts(way, tmp_path / "control", private=False)
    assert there.far.got(CANARY), [(each.status, each.text, each.error, each.path) for each in results]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_the_canary_arrives_where_the_agent_is_not_restricted(way: Way, tmp_path: Path) -> None:
    """The control: each way does lead to the cloud."""
    there, results = await went(way, tmp_path, private=False)
    assert there.far.got(CANARY), [(each.status, each.text, each.error, each.path) for each in results]
