"""The status of a deployment: whether it runs as its manifest says, and who answers just now."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.deploy.status import status
from tests.deploy.fakes import OLLAMA, stage
from tests.plan.parts import agent, blueprint, kiosk, model, router, rule

pytestmark = pytest.mark.anyio


async def test_status_does_not_name_a_model_whose_servers_are_all_down(tmp_path: Path) -> None:
    """It is degraded, with the state and the last error of the endpoint."""
    async with stage(tmp_path) as s:
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        await s.apply(kiosk())
        name = "ollama@127.0.0.1:11434/phi4-mini:latest"
        s.plane.seen[name] = {"id": name, "state": "ready", "failures": 0, "last_error": ""}
        assert status(s.reconciler)[0]["state"] == "running"
        s.plane.seen[name] |= {"state": "misconfigured", "failures": 0, "last_error": "HTTP 401"}
        [shown] = status(s.reconciler)
        assert shown["state"] == "degraded" and shown["endpoints"] == [s.plane.seen[name]]
        assert [each["by"] for each in shown["agents"][1:]] == ["its 1 reflex rule", "nothing"]
        assert f"({name} is misconfigured: HTTP 401)" in shown["agents"][2]["gain"]


async def test_it_is_degraded_while_any_model_that_the_manifest_names_is_not_served(tmp_path: Path) -> None:
    """Also a fallback that nobody misses yet: who relies on it is told before it is needed."""
    async with stage(tmp_path) as s:
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        spare = model("spare", ids={"ollama": ["spare:1b"]}, primary=False)
        both = model(fallback=["spare"])
        await s.apply(blueprint(both, spare, agent("stock", models=["phi-4-mini"])))
        [shown] = status(s.reconciler)
        assert (shown["state"], [each["gain"] for each in shown["agents"]]) == ("degraded", [""])
        assert [bool(each["missing"]) for each in shown["models"]] == [False, True]
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest", "spare:1b")
        await s.apply(blueprint(both, spare, agent("stock", models=["phi-4-mini"])))
        assert status(s.reconciler)[0]["state"] == "running"


async def test_a_router_whose_model_does_not_answer_is_told_to_choose_without_it(tmp_path: Path) -> None:
    """As an agent whose model does not answer."""
    async with stage(tmp_path) as s:
        s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
        desk = router("desk", "stock", strategy="cascade", stages=["lexical", "intent"], models=["phi-4-mini"])
        await s.apply(blueprint(model(), agent("stock", reflex=[rule()]), desk))
        name = "ollama@127.0.0.1:11434/phi4-mini:latest"
        for state, by in (
            ("ready", "chooses by lexical, then phi-4-mini (ollama at 127.0.0.1:11434)"),
            ("gone", "chooses by lexical"),
        ):
            s.plane.seen[name] = {"id": name, "state": state, "failures": 3, "last_error": "refused"}
            [shown] = status(s.reconciler)
            assert (shown["state"], shown["agents"][0]["by"]) == ({"ready": "running", "gone": "degraded"}[state], by)
