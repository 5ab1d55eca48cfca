"""What the manifest says of what may leave, and of what it may cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.diagnostic import Diagnostic
from orchestrator.manifest.load import load
from orchestrator.manifest.resolve import check_references

MANIFEST = """\
deployment:
  type: single-device
  models: [{{alias: m, provider: openai-compatible, model: m, endpoint: "http://127.0.0.1:9000"{model}}}]
  agents: [{{name: a, model: m, instructions: Answer.{agent}}}]
  escalation: {{{escalation}}}
"""


def told(folder: Path, **parts: str) -> list[Diagnostic]:
    """What is told of a manifest with these parts."""
    path = folder / "a.yaml"
    path.write_text(MANIFEST.format(**{"model": "", "agent": "", "escalation": "", **parts}))
    loaded = load([str(path)], environment={})
    return [each for each in check_references(loaded) if each.code in ("ORC261", "ORC262", "ORC263")]


def test_a_price_that_counts_nowhere_is_told(tmp_path: Path) -> None:
    """A gateway on this device that costs money is written as one in the cloud."""
    (found,) = told(tmp_path, model=", price: {input: 1, output: 2}")
    assert (found.code, found.severity.value) == ("ORC263", "warning")
    assert found.message == "m is not in the cloud, and so its price counts nowhere"
    assert told(tmp_path, model=", zone: cloud, price: {input: 1, output: 2}") == []


@pytest.mark.parametrize(
    "limit", [{"escalation": "budget: {per_run: {money: 1}}"}, {"agent": ", budget: {per_day: {money: 0}}"}]
)
def test_whoever_limits_money_must_know_what_it_costs(limit: dict[str, str], tmp_path: Path) -> None:
    """By the deployment's budget or an agent's own; a price of 0 is one."""
    (found,) = told(tmp_path, model=", zone: cloud", **limit)
    assert (found.code, found.severity.value) == ("ORC261", "error")
    assert told(tmp_path, model=", zone: cloud, price: {input: 0, output: 0}", **limit) == []
    assert told(tmp_path, **limit) == []


def test_tokens_and_calls_need_no_price(tmp_path: Path) -> None:
    assert told(tmp_path, model=", zone: cloud", escalation="budget: {per_run: {calls: 1}, per_day: {tokens: 5}}") == []
