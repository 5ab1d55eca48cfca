"""Labels across a kill: one that was acknowledged is there, one that was not is whole or not there."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import orchestrator.plugins.stores.outcomes  # noqa: F401 - declares its failpoints
from orchestrator.app.compile import compile_loaded
from orchestrator.core.errors import RuntimeUnavailable
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
