"""Labels across a kill: one that was acknowledged is there, one that was not is whole or not there."""

from __future__ import annotations

import signal
from pathlib import Path

import anyio
import pytest

import orchestrator
import orchestrator.plugins.stores.outcomes
from orchestrator.app.compile import compile_loaded
from orchestrator.core.errors import NothingToLabel, RuntimeUnavailable, UsageError
from orchestrator.core.failpoint import FAILPOINTS
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from orchestrator.manifest.load import load_texts
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Script
from tests.cli.serving import answering
from tests.runtime.living import Home

SHOP = """\
metadata: {name: shop}
deployment:
  type: single-device
  models: [{alias: m, provider: llama-cpp, model: m, endpoint: "URL"}]
  entry: clerk
  agents:
    - {name: clerk, description: answers, model: m, escalate_to: lead, escalate_when: [low_confidence]}
    - {name: lead, description: knows better, model: m, role: escalation}
"""
POINTS = sorted(point for point in FAILPOINTS if point.startswith("outcomes."))


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_an_answer_is_labelled(home: Home, point: str) -> None:
    """The first label stays; the second is there where its transaction was, and can be noted again in any case."""
    with answering(simulated(["m"], Script(default="nine euro")), "llama-cpp") as url:
        client = home.start(ORCHESTRATOR_FAIL_AT=f"{point}:2")
        found = compile_loaded(load_texts({"shop.yaml": SHOP.replace("URL", url)}, Path("/nowhere"), {}))
        client.apply(Wanted(found.blueprint))
        one, other = (client.run("shop", Request("how much")).id for _ in range(2))
        client.label(one, right=True)
        with pytest.raises(RuntimeUnavailable):
            client.label(other, right=False)
        assert home.processes[-1].wait(5) == -signal.SIGKILL
        client = home.start()
        assert client.run("shop", Request("how much")).text == "nine euro"
        (scale,) = client.calibrate("shop", 0.95, 0.0)["scales"]
        assert (scale["labelled"], scale["right"]) == ((2, 1) if point == "outcomes.labelled" else (1, 1))
        client.label(other, right=False)
        (scale,) = client.calibrate("shop", 0.95, 0.0)["scales"]
        assert (scale["labelled"], scale["right"], scale["fitted"]) == (2, 1, None)
        assert home.stop() == 0


def test_python_code_labels_answers_too(home: Home, tmp_path: Path) -> None:
    """Of a deployment of the runtime; one of this process keeps no runs, and says so."""

    async def label(manifest: Path) -> None:
        async with orchestrator.connect("shop") as shop:
            result = await shop.run("how much")
            await shop.label(result, right=True, by="ana")
            with pytest.raises(NothingToLabel, match="has no score"):
                await shop.label(result.id, right=True, agent="lead")
        async with orchestrator.open(manifest, environment={"ORCHESTRATOR_SERVERS": ""}, state=tmp_path) as shop:
            with pytest.raises(UsageError, match="keeps no runs"):
                await shop.label("run_1", right=True)

    with answering(simulated(["m"], Script(default="nine euro")), "llama-cpp") as url:
        client = home.start()
        manifest = tmp_path / "shop.yaml"
        manifest.write_text(SHOP.replace("URL", url))
        found = compile_loaded(load_texts({"shop.yaml": manifest.read_text()}, Path("/nowhere"), {}))
        client.apply(Wanted(found.blueprint))
        anyio.run(label, manifest)
        (scale,) = client.calibrate("shop", 0.95, 0.0)["scales"]
        assert (scale["labelled"], scale["right"]) == (1, 1)
        assert home.stop() == 0
