"""A node's share of a blueprint: what it holds, and of the rest what its routers must know."""

from __future__ import annotations

from orchestrator.core.blueprint import Blueprint
from orchestrator.plan.share import share_of
from tests.plan.parts import agent, blueprint, model, router, rule, tool


def shop() -> Blueprint:
    """Two agents with a model and a tool each; the model of the first has a fallback."""
    return blueprint(
        router("front", "stock", "repairs", models=["tiny"]),
        agent("stock", models=["phi-4-mini"], tools=["ledger"], examples=["is it there?"]),
        agent(
            "repairs",
            models=["coder"],
            tools=["bench"],
            reflex=[rule()],
            examples=["it is broken"],
            escalate_to="stock",
        ),
        model("phi-4-mini", fallback=["spare"]),
        model("spare"),
        model("coder"),
        model("tiny"),
        tool("ledger"),
        tool("bench"),
    )


def test_what_only_others_need_is_left_out() -> None:
    """The router's own model stays on every node, as requests may enter at each."""
    share = share_of(shop(), "edge-1", {"stock"})
    assert list(share.elements) == [
        "router.front",
        "agent.stock",
        "agent.repairs",
        "model.phi-4-mini",
        "model.spare",
        "model.tiny",
        "tool.ledger",
    ]


def test_an_agent_elsewhere_keeps_its_words_and_nothing_to_work_with() -> None:
    """A router still learns from them, and a lost node can still be escalated."""
    spec = share_of(shop(), "edge-1", {"stock"}).elements["agent.repairs"].spec
    assert spec["elsewhere"] and spec["examples"] == ["it is broken"] and spec["escalate_to"] == "stock"
    assert not any(spec[name] for name in ("models", "tools", "knowledge", "instructions", "reflex", "human"))


def test_one_who_holds_all_has_the_whole() -> None:
    """With the same digests: nothing is replaced where a fleet has one node."""
    share = share_of(shop(), "edge-1", {"stock", "repairs"})
    assert share.node == "edge-1"
    assert share.elements == shop().elements


def test_a_share_taken_again_is_the_same() -> None:
    """It says all of itself."""
    share = share_of(shop(), "edge-1", {"repairs"})
    assert share_of(share, "edge-1", {"repairs"}) == share
