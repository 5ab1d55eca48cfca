"""Properties of the whole graph, each broken by one small manifest."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.diagnostic import Place, Severity
from orchestrator.graph.build import build, check
from tests.graph.small import DESK, findings, manifest

MODEL = {"models": [{"alias": "m"}]}
A = {"name": "a", "model": "m"}
APART: dict[str, Any] = {
    **MODEL,
    "type": "distributed-edge",
    "agents": [
        {"name": "a", "model": "m", "compliance": ["HIPAA"], "escalate_to": "b"},
        {"name": "b", "model": "m", "role": "escalation"},
    ],
}
PHI = {"models": [{"alias": "phi-4-mini"}], "agents": [{"name": "a", "model": "phi-4-mini"}]}


def _router(**keys: Any) -> dict[str, Any]:
    return {"name": "front", "role": "router", "default": "a", **keys}


FAULTS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "a cycle of escalations": (
        {
            **MODEL,
            "agents": [
                {"name": "a", "model": "m", "escalate_to": "b"},
                {"name": "b", "model": "m", "role": "escalation", "escalate_to": "a"},
            ],
        },
        [("ORC301", "a request can go round: agent.a -> agent.b -> agent.a")],
    ),
    "a router that routes to itself": (
        {**MODEL, "agents": [_router(routes=["front", "a"]), A]},
        [("ORC301", "a request can go round: router.front -> router.front")],
    ),
    "a router without a way out": (
        {"agents": [{"name": "front", "role": "router"}]},
        [
            ("ORC302", "router.front leads nowhere"),
            ("ORC304", "router.front has no default: when it is unsure it asks back with the choices"),
        ],
    ),
    "an agent that can answer nothing": (
        {"agents": [{"name": "a"}]},
        [("ORC303", "nothing answers for agent.a: it has no model, no reflex rule and no tool")],
    ),
    "a router without a default": (
        {**MODEL, "agents": [_router(default=None, routes=["a"]), A]},
        [("ORC304", "router.front has no default: when it is unsure it asks back with the choices")],
    ),
    "nobody at all": ({}, [("ORC305", "the deployment has no agent")]),
    "an agent that no route leads to": (
        {**MODEL, "agents": [_router(routes=["a"]), A, {"name": "b", "model": "m"}]},
        [("ORC306", "no request can reach agent.b from router.front")],
    ),
    "parts that nobody uses": (
        {
            "models": [{"alias": "m"}, {"alias": "spare"}],
            "agents": [A],
            "tools": [{"name": "clock"}],
            "knowledge": [{"name": "docs", "path": "docs"}],
        },
        [
            ("ORC307", "nobody uses model.spare"),
            ("ORC307", "nobody uses tool.clock"),
            ("ORC307", "nobody uses knowledge.docs"),
        ],
    ),
    "restricted data with a fallback in the cloud": (
        {
            "models": [{"alias": "m", "fallback": ["far"]}, {"alias": "far", "provider": "openai"}],
            "agents": [{**A, "privacy_mode": True}],
        },
        [("ORC308", "what agent.a sees is restricted, but can reach the cloud: agent.a -> model.m -> model.far")],
    ),
    "restricted data that escalates to the cloud": (
        {
            "models": [{"alias": "m"}, {"alias": "far", "endpoint": "https://models.example.com/v1"}],
            "agents": [
                {**A, "compliance": ["HIPAA"], "escalate_to": "b"},
                {"name": "b", "role": "escalation", "model": "far"},
            ],
        },
        [("ORC308", "what agent.a sees is restricted, but can reach the cloud: agent.a -> agent.b -> model.far")],
    ),
    "a router in the cloud before a restricted agent": (
        {
            "models": [{"alias": "m"}, {"alias": "far", "zone": "cloud"}],
            "agents": [_router(routes=["a"], model="far"), {**A, "privacy_mode": True}],
        },
        [
            (
                "ORC309",
                "the model of router.front is in the cloud (router.front -> model.far) and reads what is meant for agent.a",
            )
        ],
    ),
    "an agent in the cloud that hands over to a restricted one": (
        {
            "models": [{"alias": "m"}, {"alias": "far", "zone": "cloud"}],
            "agents": [
                {"name": "pub", "model": "far", "escalate_to": "b"},
                {"name": "b", "model": "m", "role": "escalation", "privacy_mode": True},
            ],
        },
        [
            (
                "ORC309",
                "the model of agent.pub is in the cloud (agent.pub -> model.far) and reads what it may hand over to agent.b",
            )
        ],
    ),
    "an offline agent with a model in the cloud": (
        {
            "models": [{"alias": "far", "zone": "cloud"}],
            "agents": [{"name": "a", "model": "far", "offline_mode": True}],
        },
        [("ORC310", "agent.a must work offline, but uses the cloud: agent.a -> model.far")],
    ),
    "a restricted agent and who takes over, never on one node": (
        {
            **APART,
            "nodes": [{"id": "x", "agents": ["a"], "models": ["m"]}, {"id": "y", "agents": ["b"], "models": ["m"]}],
        },
        [
            (
                "ORC312",
                (
                    "agent.a cannot hand over to agent.b: what it sees is restricted and stays on x, and the manifest has agent.b "
                    "on y only"
                ),
            )
        ],
    ),
    "a model that no server could load there": (
        {**PHI, "hardware": {"memory": 1_200_000_000}},
        [
            (
                "ORC320",
                (
                    "phi-4-mini can never fit: it takes 1.6 GB for its weights in q2_k, and models may take 960 MB (80% of "
                    "1.2 GB memory)"
                ),
            )
        ],
    ),
    "a model over the limit of the manifest": (
        {**PHI, "hardware": {"memory": 8_000_000_000}, "resources": {"max_memory_usage": "1GB"}},
        [
            (
                "ORC320",
                (
                    "phi-4-mini can never fit: it takes 1.6 GB for its weights in q2_k, and models may take 920 MB "
                    "(max_memory_usage 1.0 GB, less 80.0 MB for the orchestrator)"
                ),
            )
        ],
    ),
    "a build that cannot be there": (
        {
            "models": [{"alias": "phi-4-mini", "quantization": "F16"}],
            "agents": [{"name": "a", "model": "phi-4-mini"}],
            "hardware": {"memory": 6_000_000_000},
        },
        [
            (
                "ORC320",
                (
                    "phi-4-mini can never fit: it takes 7.7 GB for its weights in f16, and models may take 4.8 GB (80% of "
                    "6.0 GB memory)"
                ),
            )
        ],
    ),
    "a context that is too large": (
        {
            "models": [{"alias": "phi-4-mini", "context_length": 32_768, "max_concurrent": 2}],
            "agents": [{"name": "a", "model": "phi-4-mini"}],
            "hardware": {"memory": 8_000_000_000},
        },
        [
            (
                "ORC321",
                (
                    "phi-4-mini does not fit as it is written: it needs 11.6 GB = 2.5 GB weights + 8.6 GB cache (32768 tokens x "
                    "2 slots) + 479 MB server, and models may take 6.4 GB (80% of 8.0 GB memory)"
                ),
            )
        ],
    ),
    "models that take turns on one node": (
        {
            "type": "distributed-edge",
            "models": [{"alias": "phi-4-mini"}, {"alias": "qwen2.5-7b"}],
            "agents": [{"name": "a", "model": ["phi-4-mini", "qwen2.5-7b"]}],
            "nodes": [
                {
                    "id": "edge-1",
                    "agents": ["a"],
                    "models": ["phi-4-mini", "qwen2.5-7b"],
                    "hardware": {"memory": "8GB"},
                },
                {"id": "edge-2", "hardware": {"memory": "1GB"}},
            ],
        },
        [
            (
                "ORC322",
                (
                    "not all models fit at once: phi-4-mini 3.5 GB + qwen2.5-7b 5.4 GB = 8.9 GB on node.edge-1, and models may "
                    "take 6.4 GB (80% of 8.0 GB memory)"
                ),
            )
        ],
    ),
}


@pytest.mark.parametrize("homes", [{"x": ["a", "b"], "y": ["b"]}, {"x": ["a"], "y": []}])
def test_who_takes_over_may_be_on_the_same_node_or_be_placed_there(homes: dict[str, list[str]]) -> None:
    """So nothing is said."""
    nodes = [{"id": name, "agents": agents, "models": ["m"]} for name, agents in homes.items()]
    assert findings(**APART, nodes=nodes) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_no_other(fault: str) -> None:
    """The counter-example stands in the message."""
    deployment, expected = FAULTS[fault]
    assert [(finding.code, finding.message) for finding in findings(**deployment)] == expected


@pytest.mark.parametrize(
    "deployment",
    [
        {**PHI, "hardware": "edge-device"},
        {**PHI, "hardware": {"cpus": 2}},
        {**PHI, "hardware": {"memory": "4GB"}, "models": [{"alias": "phi-4-mini", "memory": "3GB"}]},
        {**PHI, "hardware": {"memory": "1GB", "gpu_memory": "8GB"}},
        {**PHI, "hardware": {"memory": "1GB"}, "models": [{"alias": "phi-4-mini", "zone": "lan"}]},
        {"agents": [A], "models": [{"alias": "m", "provider": "ollama", "model": "m"}], "hardware": {"memory": "1GB"}},
    ],
    ids=["a profile", "no memory written", "it says what it takes", "a card has room", "elsewhere", "size unknown"],
)
def test_memory_is_proved_only_where_it_can_be(deployment: dict[str, Any]) -> None:
    """What is measured is for the plan; what is unknown, or on another machine, is not judged."""
    assert findings(**deployment) == []


def test_a_sound_graph_has_no_finding() -> None:
    """A router with a default, specialists with models, a person to escalate to."""
    assert findings(**DESK) == []


def test_a_fallback_is_a_use() -> None:
    """A model that is only another one's fallback is not unused."""
    models = [{"alias": "m", "fallback": ["spare"]}, {"alias": "spare"}]
    assert findings(models=models, agents=[A]) == []


def test_an_agent_that_only_reflexes_answer_for_is_sound() -> None:
    """Reflex rules and people need no model."""
    first = {"name": "a", "reflex": [{"say": "hello"}], "escalate_to": "b"}
    person = {"name": "b", "role": "escalation"}
    assert [finding.subject for finding in findings(agents=[first, person])] == ["agent.b"]
    assert findings(agents=[first, {**person, "human": {}}]) == []


def test_a_finding_gets_the_place_of_its_part() -> None:
    """Where an address stands in the text is asked of the caller."""
    place = Place("shop.yaml", 7, 3)
    found = check(build(manifest(agents=[{"name": "a"}]), "shop"), {"agent.a": place}.get)
    assert [(finding.place, finding.subject, finding.severity) for finding in found] == [
        (place, "agent.a", Severity.WARNING)
    ]


@pytest.mark.parametrize(
    ("resources", "cure"),
    [
        ({}, "Write resources.max_memory_usage: started servers take turns within it"),
        ({"max_memory_usage": "6GB"}, "Started servers take turns, and a request waits while one starts"),
    ],
)
def test_servers_that_are_started_take_turns_within_a_limit(resources: dict[str, str], cure: str) -> None:
    """Without one the cure says which line has them do so."""
    server = {"provider": "llama-cpp", "server": {"path": "m.gguf"}}
    models = [{"alias": "phi-4-mini", **server}, {"alias": "qwen2.5-7b", **server}]
    agents = [{"name": "a", "model": ["phi-4-mini", "qwen2.5-7b"]}]
    (found,) = [
        each
        for each in findings(
            type="single-device", models=models, agents=agents, hardware={"memory": "8GB"}, resources=resources
        )
        if each.code == "ORC322"
    ]
    assert found.cure.startswith(cure)


def test_what_has_no_room_beside_pinned_models_is_not_said_to_take_turns() -> None:
    """It could be loaded only by unloading what must not be."""
    sizes = {"alpha": "400MB", "beta": "400MB", "gamma": "450MB"}
    models = [
        {"alias": name, "provider": "llama-cpp", "model": name, "memory": size, "pinned": True}
        for name, size in sizes.items()
    ]
    agents = [{"name": "a", "model": list(sizes)}]
    found = findings(
        type="single-device",
        models=models,
        agents=agents,
        resources={"max_memory_usage": "900MB"},
        hardware={"memory": "8GB"},
    )
    assert [(each.code, each.subject, each.message) for each in found] == [
        (
            "ORC321",
            "model.gamma",
            (
                "gamma has no room beside what is pinned: it needs 450 MB, and models may take 20.0 MB (max_memory_usage 900 MB, "
                "less 80.0 MB for the orchestrator, less 400 MB for alpha, which is pinned, 400 MB for beta, which is pinned)"
            ),
        )
    ]
