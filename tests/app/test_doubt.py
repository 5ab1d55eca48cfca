"""Signs of a wrong answer in a manifest: words and maps, what becomes of them, and what is said where one cannot show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.app.compile import Compilation, compile_loaded
from orchestrator.core.errors import ManifestError
from orchestrator.manifest.checks.doubt import WITHOUT_LOG_PROBABILITIES
from orchestrator.manifest.load import load_texts
from orchestrator.plugins.providers.addresses import MAKES
from orchestrator.ports.provider import Capability, Support

AGENT = """\
deployment:
  type: single-device
  models:
    - {alias: m, provider: PROVIDER, model: m, endpoint: "http://127.0.0.1:9"}
    - {alias: big, provider: vllm, model: big, endpoint: "http://127.0.0.1:8", zone: ZONE}
  agents:
    - {name: desk, description: answers, model: big}
    - name: clerk
      description: sells
      model: m
      privacy_mode: PRIVATE
      MORE
"""


def compiled(
    *more: str, provider: str = "llama-cpp", zone: str = "node", private: bool = False, to: str = "desk"
) -> Compilation:
    """A clerk with these keys."""
    lines = [*([f"escalate_to: {to}"] if to else []), *more]
    text = AGENT.replace("MORE", "\n      ".join(lines)).replace("PROVIDER", provider).replace("ZONE", zone)
    return compile_loaded(
        load_texts({"shop.yaml": text.replace("PRIVATE", str(private).lower())}, Path("/nowhere"), {})
    )


def spec_of(found: Compilation) -> Any:
    """The clerk as it is lowered."""
    return found.blueprint.elements["agent.clerk"].spec


def warned(found: Compilation) -> list[tuple[str, str]]:
    """What is said of the gate."""
    return [(one.code, one.message) for one in found.diagnostics if one.code in ("ORC430", "ORC431")]


def test_words_and_maps_become_one_gate_in_the_order_of_their_cost() -> None:
    """Only what is written is kept; a list of words alone, as ever, makes the same digest as before."""
    found = compiled("escalate_when: [error, self_check, {agreement: {samples: 5}}, {abstains: {}}, low_confidence]")
    spec = spec_of(found)
    assert spec["escalate_when"] == ["error", "self_check", "agreement", "abstains", "low_confidence"]
    assert list(spec["gate"].items()) == [
        ("abstains", {}),
        ("low_confidence", {}),
        ("agreement", {"samples": 5}),
        ("self_check", {}),
    ]
    assert warned(found) == []
    assert "gate" not in spec_of(compiled("escalate_when: [error, timeout]"))
    assert "most_escalations" not in found.blueprint.as_json() and found.blueprint.most_escalations == 3


def test_the_defaults_of_the_deployment_may_hold_signs_too() -> None:
    """And how often a run is handed over; the stored form keeps it."""
    text = AGENT.replace("MORE", "reflex: []").replace("PROVIDER", "ollama").replace("ZONE", "node")
    text = text.replace("PRIVATE", "false") + "  escalation: {to: desk, when: [{judge: {model: big}}], most: 1}\n"
    found = compile_loaded(load_texts({"shop.yaml": text}, Path("/nowhere"), {}))
    assert spec_of(found)["gate"] == {"judge": {"model": "big"}}
    assert type(found.blueprint).from_json(found.blueprint.as_json()).most_escalations == 1


def test_a_judge_is_a_model_that_the_agent_uses() -> None:
    """It must be there, and is bound with the agent; what is restricted reaches none in the cloud."""
    found = compiled("escalate_when: [{judge: {model: big}}]")
    assert found.blueprint.elements["agent.clerk"].needs == ("model.m", "model.big")
    with pytest.raises(ManifestError) as refused:
        compiled("escalate_when: [{judge: {model: bog}}]")
    assert [one.code for one in refused.value.diagnostics] == ["ORC202"]
    with pytest.raises(ManifestError) as refused:
        compiled("escalate_when: [{judge: {model: big}}]", zone="cloud", private=True)
    assert "ORC308" in [one.code for one in refused.value.diagnostics]


def test_a_make_that_tells_no_log_probabilities_is_told_when_compiled() -> None:
    """With what is done instead."""
    (warning,) = warned(compiled("escalate_when: [low_confidence]", provider="lm-studio"))
    said = "low_confidence: lm-studio tells no log-probabilities, so that clerk is only asked to say itself when it does not know"
    assert warning == ("ORC430", said)


def test_the_makes_that_tell_none_are_those_that_say_so() -> None:
    """The check knows them by name; the makes themselves are the source."""
    silent = {
        make.kind for make in MAKES if make.capabilities.get(Capability.LOGPROBS) in (Support.NO, Support.IGNORED)
    }
    assert silent == WITHOUT_LOG_PROBABILITIES


@pytest.mark.parametrize(
    ("more", "to", "said"),
    [
        (["escalate_when: [self_check]"], "", ["self_check: clerk has nobody to hand over to"]),
        (["escalate_when: [error, low_confidence]"], "", []),
        (
            ["escalate_when: [abstains]", "output_schema: {type: object, properties: {n: {type: integer}}}"],
            "desk",
            ['abstains: output_schema has neither the property "abstain" nor a text that could be UNKNOWN'],
        ),
        (
            ["escalate_when: [abstains]", "output_schema: {type: object, properties: {abstain: {type: boolean}}}"],
            "desk",
            [],
        ),
        (
            ["escalate_when: [{abstains: {word: none}}]", "output_schema: {properties: {town: {enum: [Rome, none]}}}"],
            "desk",
            [],
        ),
    ],
)
def test_a_sign_that_cannot_show_is_told(more: list[str], to: str, said: list[str]) -> None:
    """Nobody to hand over to, or an answer without room for it."""
    assert warned(compiled(*more, to=to)) == [("ORC431", line) for line in said]
