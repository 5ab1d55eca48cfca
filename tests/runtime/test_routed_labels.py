"""Labels of whom a router chose: put to the stage that decided, fitted, gone by, and of no other version of the router."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

import orchestrator
from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_loaded
from orchestrator.core.errors import NothingToLabel, UsageError
from orchestrator.core.refined import FEW
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from orchestrator.manifest.load import load_texts
from orchestrator.plugins.stores.outcomes import fitted_at
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Rule, Script
from tests.cli.serving import answering
from tests.runtime.living import Home

SHOP = """\
metadata: {name: shop}
deployment:
  type: single-device
  models: [{alias: m, provider: llama-cpp, model: m, endpoint: "URL"}]
  agents:
    - name: front
      role: router
      stages: [rules, lexical, intent]
      model: m
      default: desk
      several: true
      routes: [hours, returns, {to: desk, when: {keywords: [lawyer]}}]
    - name: hours
      description: Opening hours of the shop.
      examples: [When do you open?, Are you open on Sunday?, What are your opening hours?, Until when can I come today?]
      reflex: [{say: Nine to six.}]
    - name: returns
      description: Returns and refunds.
      examples: [I want to return this drill, Can I get my money back?, How do I send something back?, Is a refund possible?]
      reflex: [{say: 'Within 30 days.'}]
    - name: desk
      description: Whatever else it is.
      reflex: [{say: 'Please ask at the desk.', unsure: true}]
"""
SURE = "when do you open today"
OTHER = "please turn the radio off"
RULED = "my lawyer will call"
BOTH = "when do you open today? and i want to return this drill please."


def wanted(text: str) -> Wanted:
    """To be applied."""
    return Wanted(compile_loaded(load_texts({"shop.yaml": text}, Path("/nowhere"), {})).blueprint)


def decided(client: RuntimeClient, text: str) -> tuple[str, dict[str, Any]]:
    """The run, and what its router decided."""
    result = client.run("shop", Request(text))
    return result.id, result.decisions[0].as_json()


def test_labels_refine_the_stage_that_decided_and_nothing_else(home: Home) -> None:
    """Of a router as it is now; after a restart too; a changed example makes another router of it."""
    script = Script([Rule("open today", value={"agent": "hours"}), Rule(value={"agent": "returns"})])
    with answering(simulated(["m"], script), "llama-cpp") as url:
        client = home.start()
        text = SHOP.replace("URL", url)
        client.apply(wanted(text))
        runs = [decided(client, SURE) for _ in range(FEW)]
        assert {(each["stage"], each["choice"]) for _, each in runs} == {("lexical", "hours")}
        own = runs[0][1]["confidence"]
        for at, (run, _) in enumerate(runs):
            client.label(run, right=at % 2 == 0, router="front")
        model, by_model = decided(client, OTHER)
        assert (by_model["stage"], by_model["choice"], by_model["kind"]) == ("intent", "returns", "llama-cpp")
        client.label(model, right=False, router="front")
        scales = client.calibrate("shop", 0.95, 0.0)["scales"]
        assert [(each["stage"], each["server"], each["labelled"], each["right"]) for each in scales] == [
            ("lexical", "", FEW, FEW // 2),
            ("intent", "llama-cpp", 1, 0),
        ]
        lexical, intent = scales
        assert intent["fitted"] is None
        assert lexical["serves"] and lexical["fitted"]["usual"] > 1

        _, after = decided(client, SURE)
        assert (after["stage"], after["choice"]) == ("intent", "hours")
        assert "by labels" in after["why"] and "confidence" in after
        assert decided(client, OTHER)[1] | {"cost_ms": 0} == by_model | {"cost_ms": 0}
        assert home.stop() == 0
        client = home.start()
        assert decided(client, SURE)[1]["why"] == after["why"]
        ((scale, fit),) = fitted_at(home.folders.state / "state.db")["shop"].items()
        assert (scale.agent, scale.model, scale.signal) == ("front", "", "route:lexical")
        assert fit.as_json() == lexical["fitted"]

        client.apply(wanted(text.replace("default: desk", "default: desk\n      confidence: 30%")))
        _, written = decided(client, SURE)
        assert written["stage"] == "lexical" and written["raw"] == own and abs(written["confidence"] - 0.5) < 0.1
        client.apply(wanted(text.replace("Is a refund possible?", "Is a refund possible?, It broke")))
        _, other = decided(client, SURE)
        assert other["stage"] == "lexical" and "by labels" not in other["why"] and "raw" not in other
        scales = client.calibrate("shop", 0.95, 0.0)["scales"]
        assert [each["serves"] for each in scales] == [False, False]
        assert home.stop() == 0


def test_what_no_probability_chose_has_no_label(home: Home) -> None:
    """A rule, the words of an example, nobody, several; the cure names the router that has one."""
    script = Script([Rule(value={"agent": "none"})])
    with answering(simulated(["m"], script), "llama-cpp") as url:
        client = home.start()
        client.apply(wanted(SHOP.replace("URL", url)))
        for text, why in (
            (RULED, "a rule decided, keywords did, or the very words of an example"),
            ("when do you open", "a rule decided, keywords did, or the very words of an example"),
            (OTHER, "no stage was sure enough"),
            (BOTH, "the request went to several"),
        ):
            with pytest.raises(NothingToLabel, match=f"front chose nobody by a probability in .*: {why}"):
                client.label(decided(client, text)[0], right=True, router="front")
        run, _ = decided(client, SURE)
        with pytest.raises(NothingToLabel, match="back chose nobody") as refused:
            client.label(run, right=True, router="back")
        assert refused.value.cure == "name the router that is meant (--router): front"
        with pytest.raises(UsageError, match="of an 'agent' or of a 'router'"):
            client.label(run, right=True, router="front", agent="hours")
        assert client.label(run, right=True, router="front", by="ana") | {"scores": []} == {
            "run": run,
            "router": "front",
            "server": "",
            "right": True,
            "scores": [],
        }
        assert home.stop() == 0


def test_python_code_labels_choices_too(home: Home) -> None:
    """By the same word."""

    async def label() -> None:
        async with orchestrator.connect("shop") as shop:
            await shop.label(await shop.run(SURE), right=True, router="front", by="ana")

    with answering(simulated(["m"], Script(default="none")), "llama-cpp") as url:
        client = home.start()
        client.apply(wanted(SHOP.replace("URL", url)))
        anyio.run(label)
        (scale,) = client.calibrate("shop", 0.95, 0.0)["scales"]
        assert (scale["router"], scale["stage"], scale["labelled"], scale["enough"]) == ("front", "lexical", 1, FEW)
        assert home.stop() == 0
