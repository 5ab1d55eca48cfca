"""Every way on which what a restricted agent sees could come to the cloud: a manifest for each, and what is asked of it.

Each is written once and run in two arms. With ``privacy_mode`` the canary must arrive in no body; without it the same way must
bring it there, or the first arm would show nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

CANARY: Final = "canary-7f3a"
ASKED: Final = f"my file: {CANARY}"
"""A request to the restricted agent: it begins with the word that its route knows."""
OPEN: Final = "go on please"
"""A request to the open agent."""


@dataclass(frozen=True)
class Way:
    """``agents`` stand beside the router and the restricted agent ``doctor``, whose own keys are ``doctor``; ``asks`` are the
    requests in order, each with its fields; ``front`` are keys of the router. ``refused``: the code by which the manifest is
    refused where it is private, so that nothing ever runs. ``near_fails``: faults of the near server."""

    name: str
    asks: Sequence[tuple[str, Mapping[str, Any]]]
    agents: Sequence[Mapping[str, Any]] = ()
    doctor: Mapping[str, Any] = field(default_factory=dict)
    front: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tools: Sequence[Mapping[str, Any]] = ()
    near_fails: Sequence[str] = ()
    refused: str = ""


def _in_session(*texts: str, **fields: Any) -> list[tuple[str, Mapping[str, Any]]]:
    return [(text, {"session": "s", **fields}) for text in texts]


_SENIOR: Final = {"name": "senior", "role": "escalation", "model": "far", "instructions": "Help."}
_DIRECT: Final = [(ASKED, {"agent": "doctor"})]
_TICKET: Final = {
    "when": {"regex": "my file"},
    "call": "tickets.create",
    "arguments": {"subject": "{{ text }}", "body": "{{ text }}"},
    "say": "noted",
}
_DATE: Final = {
    "when": {"regex": "my file"},
    "call": "dates.add",
    "arguments": {"title": "{{ text }}", "start": "tomorrow at 10:00"},
    "say": "noted",
}
_READER: Final = {"name": "reader", "model": "far", "instructions": "Read.", "tools": ["tickets"]}
_CLERK: Final = {"name": "clerk", "role": "escalation", "human": {"queue": "desk"}, "tools": ["tickets"]}
_FAILING: Final = {"name": "helper", "model": "near", "instructions": "Help.", "escalate_to": "senior"}

_FIRST: Final = {"name": "first", "model": "near", "instructions": "Help.", "escalate_to": "desk"}
_FAR_DESK: Final = {
    "name": "desk",
    "instructions": "Help.",
    "escalate_to": "doctor",
    "escalate_when": ["schema_invalid"],
    "output_schema": {"type": "object", "required": ["never"], "properties": {"never": {"type": "string"}}},
}
_NURSE: Final = {"name": "nurse", "role": "escalation", "model": "near", "instructions": "Help."}
PARTS: Final = [{"to": "doctor", "when": {"regex": "my file"}}, {"to": "open", "when": {"regex": "^go on"}}]
_SEVERAL: Final[Mapping[str, Any]] = {
    "several": True,
    "stages": ["keyword"],
    "default": "open",
    "routes": [{"to": "doctor", "keywords": ["illness"]}, {"to": "open", "keywords": ["stocks"]}],
}

WAYS: Final[tuple[Way, ...]] = (
    Way("a later request of its session to another agent", _in_session(ASKED, OPEN)),
    Way(
        "the same, straight to that agent",
        [(ASKED, {"session": "s", "agent": "doctor"}), (OPEN, {"session": "s", "agent": "open"})],
    ),
    Way("what its user says again later in the session", _in_session(ASKED, f"{OPEN} {CANARY}")),
    Way(
        "its answer in a history that the caller keeps",
        [(OPEN, {"history": [("user", "my file?"), ("assistant", f"you are {CANARY}")]})],
    ),
    Way(
        "the same, with a new session",
        [(OPEN, {"session": "n", "history": [("user", "my file?"), ("assistant", f"you are {CANARY}")]})],
    ),
    Way(
        "the second of its own models",
        _DIRECT,
        doctor={"model": ["near", "far"]},
        near_fails=["unauthorized"],
        refused="ORC308",
    ),
    Way(
        "a fallback of its model",
        _DIRECT,
        models={"near": {"fallback": ["far"]}},
        near_fails=["unauthorized"],
        refused="ORC308",
    ),
    Way(
        "its escalation, on request",
        [(ASKED, {"agent": "doctor", "escalate": True})],
        [_SENIOR],
        doctor={"escalate_to": "senior"},
        refused="ORC308",
    ),
    Way(
        "its escalation, with the attempt that failed",
        _DIRECT,
        [_SENIOR],
        doctor={"escalate_to": "senior"},
        near_fails=["unauthorized"],
        refused="ORC308",
    ),
    Way(
        "an escalation of its escalation",
        [(ASKED, {"agent": "doctor", "escalate": True})],
        [
            _SENIOR,
            {"name": "nurse", "role": "escalation", "model": "near", "instructions": "Help.", "escalate_to": "senior"},
        ],
        doctor={"escalate_to": "nurse"},
        near_fails=["unauthorized"],
        refused="ORC308",
    ),
    Way(
        "the model of the router before it",
        [(ASKED, {})],
        front={"model": "far", "stages": ["intent"]},
        refused="ORC309",
    ),
    Way(
        "the encoder of the router before it",
        [(ASKED, {})],
        front={"encoder": "vectors", "stages": ["semantic"]},
        refused="ORC309",
    ),
    Way(
        "the model of the agent that hands over to it",
        [(ASKED, {"agent": "desk"})],
        [{**_FAR_DESK, "model": "far"}],
        refused="ORC309",
    ),
    Way(
        "the second model of an agent that an agent leads to, which hands over to it",
        [(ASKED, {"agent": "first"})],
        [{**_FAR_DESK, "role": "escalation", "model": ["near", "far"]}, _FIRST],
        near_fails=["unauthorized"],
        refused="ORC309",
    ),
    Way(
        "the judge of the agent that hands over to it",
        [(ASKED, {"agent": "desk"})],
        [{**_FAR_DESK, "model": "near", "escalate_when": [{"judge": {"model": "far"}}]}],
        refused="ORC309",
    ),
    Way(
        "the encoder of another router, later in the session",
        [(ASKED, {"session": "s"}), (f"{OPEN} {CANARY}", {"session": "s", "agent": "side"})],
        [
            {
                "name": "side",
                "role": "router",
                "encoder": "vectors",
                "stages": ["semantic"],
                "routes": ["open", "other"],
            },
            {"name": "other", "examples": ["sell me a ticket", "tickets please"], "reflex": [{"say": "Sold."}]},
        ],
    ),
    Way(
        "the model of another router, later in the session",
        [(ASKED, {"session": "s"}), (f"{OPEN} {CANARY}", {"session": "s", "agent": "side"})],
        [
            {"name": "side", "role": "router", "model": "far", "stages": ["intent"], "routes": ["open", "other"]},
            {"name": "other", "examples": ["sell me a ticket", "tickets please"], "reflex": [{"say": "Sold."}]},
        ],
    ),
    Way(
        "the second model of another agent, later in the session",
        [(ASKED, {"session": "s"}), (OPEN, {"session": "s", "agent": "both"})],
        [{"name": "both", "model": ["near", "far"], "instructions": "Help."}],
        doctor={"reflex": [{"say": f"you are {CANARY}"}]},
        near_fails=["unauthorized"],
    ),
    Way(
        "the escalation of another agent, later in the session, with its history and the attempt that failed",
        [(ASKED, {"session": "s"}), (OPEN, {"session": "s", "agent": "helper"})],
        [_SENIOR, _FAILING],
        doctor={"reflex": [{"say": f"you are {CANARY}"}]},
        near_fails=["unauthorized"],
    ),
    Way(
        "what its rule wrote into a tool that another agent reads",
        [(ASKED, {"agent": "doctor"}), ("list tickets", {"agent": "reader"})],
        [_READER],
        doctor={"tools": ["tickets"], "reflex": [_TICKET]},
    ),
    Way(
        "what its rule wrote into a file that another tool reads",
        [(ASKED, {"agent": "doctor"}), ("what is planned", {"agent": "reader"})],
        [{**_READER, "tools": ["others"]}],
        doctor={"tools": ["dates"], "reflex": [_DATE]},
        tools=[
            {"name": "dates", "use": "calendar", "path": "./c.ics"},
            {"name": "others", "use": "calendar", "path": "./d/../c.ics"},
        ],
    ),
    Way(
        "the ticket of a person that it passed a question on to",
        [(ASKED, {"agent": "doctor", "escalate": True}), ("list tickets", {"agent": "reader"})],
        [_READER, _CLERK],
        doctor={"escalate_to": "clerk"},
    ),
    Way(
        "a judge of its answer",
        _DIRECT,
        [_NURSE],
        doctor={"escalate_to": "nurse", "escalate_when": [{"judge": {"model": "far"}}]},
        refused="ORC308",
    ),
    Way(
        "a judge of another agent's answer, later in the session",
        [(ASKED, {"session": "s"}), (OPEN, {"session": "s", "agent": "judged"})],
        [
            _NURSE,
            {
                **_FAILING,
                "name": "judged",
                "escalate_to": "nurse",
                "escalate_when": [{"judge": {"model": "far"}}],
            },
        ],
        doctor={"reflex": [{"say": f"you are {CANARY}"}]},
    ),
    Way(
        "a part of a request, later in the session",
        [(f"{ASKED}, and go on please", {"session": "s"}), (OPEN, {"session": "s", "agent": "open"})],
        front={"several": True, "stages": ["rules"], "routes": PARTS},
    ),
    Way("a part that says what the other is about", [(f"buy stocks about my illness {CANARY}", {})], front=_SEVERAL),
    Way(
        "a part that leans on the one before",
        [(f"Tell me about my illness {CANARY}. And buy stocks.", {})],
        front=_SEVERAL,
        doctor={"reflex": [{"say": "noted"}]},
    ),
    Way("a part that points back", [(f"My illness is {CANARY} and buy stocks for it", {})], front=_SEVERAL),
    Way(
        "a clause that nobody is sure of, with the part before it",
        [(f"Buy stocks. I have {CANARY}. What helps against my illness?", {})],
        front=_SEVERAL,
    ),
    Way(
        "a part for a router behind the router, of which one way leads to a restricted agent",
        [(f"buy stocks about my illness {CANARY}", {})],
        [
            {
                "name": "side",
                "role": "router",
                "stages": ["keyword"],
                "default": "doctor",
                "routes": ["doctor", "other"],
            },
            {"name": "other", "keywords": ["tickets"], "reflex": [{"say": "Sold."}]},
        ],
        front={**_SEVERAL, "routes": [{"to": "side", "keywords": ["illness"]}, _SEVERAL["routes"][1]]},
    ),
    Way(
        "a part that is left for later, as it is for one agent too many",
        [(f"buy stocks about tickets, plus lamps and {CANARY} illness", {})],
        [{"name": name, "reflex": [{"say": "Sold."}]} for name in ("tickets", "lamps")],
        front={
            **_SEVERAL,
            "routes": [*_SEVERAL["routes"], *({"to": each, "keywords": [each]} for each in ("tickets", "lamps"))],
        },
    ),
    Way(
        "what another agent wrote into a tool, in a session that it was part of",
        [
            (ASKED, {"session": "s", "agent": "doctor"}),
            (f"my file again: {CANARY}", {"session": "s", "agent": "writer"}),
            ("list tickets", {"agent": "reader"}),
        ],
        [_READER, {"name": "writer", "tools": ["tickets"], "reflex": [_TICKET]}],
    ),
)


def manifest(way: Way, near: str, far: str, *, private: bool) -> dict[str, Any]:
    """The manifest of a way."""
    doctor = {
        "name": "doctor",
        "model": "near",
        "instructions": "You are a doctor.",
        "examples": ["my file", "show my file"],
        "escalate_when": ["error", "requested"],
        **way.doctor,
    }
    other = {"name": "open", "model": "far", "instructions": "You help.", "examples": ["go on please", "go on"]}
    served = {
        "near": {"provider": "openai-compatible", "model": "m", "endpoint": f"{near}/v1"},
        "far": {"provider": "openai-compatible", "model": "m", "endpoint": f"{far}/v1", "zone": "cloud"},
        "vectors": {"provider": "openai-compatible", "model": "embed", "endpoint": f"{far}/v1", "zone": "cloud"},
    }
    routes = [{"to": "doctor", "when": {"regex": "^my file"}}, {"to": "open", "when": {"regex": "^go on"}}]
    routes += [{"to": each["name"], "when": {"regex": "^never said"}} for each in way.agents if "role" not in each]
    routes += [
        {"to": each["name"], "when": {"regex": "^never said"}} for each in way.agents if each.get("role") == "router"
    ]
    if way.front:
        routes = [{"to": each["to"]} for each in routes]
    front = {
        "name": "front",
        "role": "router",
        "routes": routes,
        **({} if way.front else {"stages": ["rules"]}),
        **way.front,
    }
    return {
        "metadata": {"name": "clinic"},
        "deployment": {
            "type": "single-device",
            "entry": "front",
            "models": [{"alias": name, **each, **way.models.get(name, {})} for name, each in served.items()],
            "tools": [{"name": "tickets"}, *way.tools],
            "agents": [front, {**doctor, **({"privacy_mode": True} if private else {})}, other, *way.agents],
        },
    }
