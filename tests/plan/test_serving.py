"""How each router chooses is told as who answers for each agent is: with what is there, and what more there could be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.plan.diff import diff
from orchestrator.plan.observed import ObservedServer
from orchestrator.ports.provider import ServedModel
from tests.plan.parts import agent, blueprint, model, ollama, router, state

PHI = ollama("phi4-mini:latest")
AT = "phi-4-mini (ollama at 127.0.0.1:11434)"
PULL = "ollama pull phi4-mini:latest"
CASCADE = {"strategy": "cascade", "stages": ["rules", "lexical", "intent"], "models": ["phi-4-mini"]}
INTENT = {"strategy": "intent", "models": ["phi-4-mini"]}


@pytest.mark.parametrize(
    ("how", "servers", "line"),
    [
        ({"strategy": "lexical"}, (), "chooses by lexical"),
        ({"strategy": "lexical", "models": ["phi-4-mini"]}, (), "chooses by lexical"),
        ({"strategy": "plugin:ours"}, (), "chooses by plugin:ours"),
        ({"strategy": "plugin:ours", "models": ["phi-4-mini"]}, (PHI,), f"chooses by plugin:ours, then {AT}"),
        (CASCADE, (PHI,), f"chooses by rules, lexical, then {AT}"),
        (
            CASCADE,
            (),
            f"chooses by rules, lexical; with phi-4-mini (2.5 GB) a model would also be asked what these leave open: {PULL}",
        ),
        ({**CASCADE, "stages": ["rules", "lexical"]}, (), "chooses by rules, lexical"),
        (INTENT, (PHI,), f"chooses by {AT}"),
        (INTENT, (), f"asks back who is meant; with phi-4-mini (2.5 GB) a model would choose: {PULL}"),
        (
            {**INTENT, "default": "hours"},
            (),
            f"leaves all to hours; with phi-4-mini (2.5 GB) a model would choose: {PULL}",
        ),
        (
            {**INTENT, "escalate_to": "hours"},
            (),
            f"leaves all to hours; with phi-4-mini (2.5 GB) a model would choose: {PULL}",
        ),
    ],
)
def test_the_plan_says_how_a_router_chooses_and_what_it_would_gain(
    how: dict[str, Any], servers: tuple[Any, ...], line: str
) -> None:
    """A model that its strategy never asks is nothing that it lacks."""
    shop = blueprint(model(), agent("stock"), agent("hours"), router("desk", "stock", "hours", **how))
    assert str(diff(shop, state(*servers)).serving[0]) == f"router.desk: {line}"


@pytest.mark.parametrize(
    ("how", "served", "line"),
    [
        ({"strategy": "semantic"}, True, "chooses by semantic"),
        (
            {"strategy": "semantic", "default": "hours"},
            False,
            (
                "leaves all to hours; nomic-embed-text is not served, and with it semantic would choose: "
                "ollama pull nomic-embed-text"
            ),
        ),
        (
            {"strategy": "cascade", "stages": ["rules", "lexical", "semantic"]},
            False,
            (
                "chooses by rules, lexical; nomic-embed-text is not served, and with it semantic would choose: "
                "ollama pull nomic-embed-text"
            ),
        ),
    ],
)
def test_a_router_does_not_choose_by_vectors_that_nobody_gives(how: dict[str, Any], served: bool, line: str) -> None:
    """What goes by them has learned nothing; with the line that has its encoder served."""
    vectors = model("nomic-embed-text", kind="embedding", ids={"ollama": ["nomic-embed-text"]})
    desk = router("desk", "stock", "hours", encoder="nomic-embed-text", **how)
    shop = blueprint(vectors, agent("stock"), agent("hours"), desk)
    there = replace(ollama(), models=(ServedModel("nomic-embed-text:latest", kind="embedding"),) if served else ())
    assert str(diff(shop, state(there)).serving[0]) == f"router.desk: {line}"


@pytest.mark.parametrize(
    ("told", "gate", "silent"),
    [("ignored", True, True), ("no", True, True), ("unknown", True, False), ("yes", True, False), ("no", False, False)],
)
def test_a_server_that_tells_no_log_probabilities_is_told_where_they_are_gone_by(
    told: str, gate: bool, silent: bool
) -> None:
    """Only what is known: one of which nothing is shown may tell them."""
    signs: dict[str, Any] = {"gate": {"low_confidence": {}}} if gate else {}
    shop = blueprint(model(), agent("stock", models=["phi-4-mini"], **signs))
    server = ollama("phi4-mini:latest", capabilities={"logprobs": told})
    (line,) = diff(shop, state(server)).serving
    assert line.gain == (
        "[ORC430] low_confidence cannot be seen: ollama at 127.0.0.1:11434 tells no log-probabilities" if silent else ""
    )
    assert bool(line.cure) is silent


def test_where_nobody_knows_whether_functions_are_called_a_note_says_who_finds_out() -> None:
    """vLLM does where it was started so, and does not tell; once it was probed, the probe is believed."""
    url = "http://127.0.0.1:8000"
    vllm = ObservedServer("vllm", url, f"{url}/v1", (ServedModel("phi-4-mini"),), capabilities={"tools": "yes"})
    shop = blueprint(
        model(), agent("clerk", models=["phi-4-mini"], tools=["clock"]), agent("desk", models=["phi-4-mini"])
    )
    (note,) = diff(shop, state(vllm)).notes
    assert note.startswith(
        "not known whether vllm at 127.0.0.1:8000 calls functions, which clerk needs for its tools: "
    )
    probed = replace(vllm, probed={"phi-4-mini": {"capabilities": {"tools": "yes"}}})
    assert diff(shop, state(probed)).notes == ()
