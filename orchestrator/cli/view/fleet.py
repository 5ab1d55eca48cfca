"""A fleet as one of its nodes sees it, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.moments import span
from orchestrator.cli.view.node import PUT_OUT
from orchestrator.cli.view.plan import shown_serving
from orchestrator.cli.view.terminal import Terminal
from orchestrator.plan.serving import NOTHING

_STYLES: Final = {"alive": "green", "suspect": "yellow", "dead": "red"}
STALE: Final = 1.0
"""Seconds after which what was read of the leases is not what stands on the board now, but what was last heard."""


def shown_fleet(fleet: Mapping[str, Any], terminal: Terminal, name: str = "", *, beside_own: bool = False) -> list[str]:
    """Its nodes for each deployment (with a ``name``, for that one), and agents that no node holds. ``beside_own``: what this node
    itself lacks is told elsewhere on the page."""
    link = "linked to its hub" if fleet["linked"] else "not linked to its hub: it goes on with what it holds"
    if fleet["put_out"]:
        link = f"its hub {PUT_OUT}; it goes on with what it holds"
    lines = [f"node {fleet['node']} of fleet {fleet['fleet']}, {link}"]
    for deployment in fleet["deployments"]:
        if not name or deployment["name"] == name:
            told = {node: each for node, each in deployment["nodes"].items() if not beside_own or node != fleet["node"]}
            lines += ["", *_of_one(deployment, terminal), *_lacking(told, terminal, "  ")]
    return lines


def shown_local_fleet(local: Mapping[str, Any], terminal: Terminal) -> str:
    """A fleet whose nodes all are on this machine, as one of them sees it."""
    lines = [f"the nodes of {local['name']} are on this machine: orchestrator status {local['name']}"]
    lines += shown_fleet(local["fleet"], terminal) if local["fleet"] else []
    away = ", ".join(node for node, runs in local["nodes"].items() if not runs)
    lines += [f"not running: {away}; orchestrator apply FILE --local starts what does not run"] if away else []
    return "\n".join(lines)


def _of_one(deployment: Mapping[str, Any], terminal: Terminal) -> list[str]:
    rows = [(node, _state(each), _generation(each), _agents(each)) for node, each in deployment["nodes"].items()]
    lines = columns([("NODE", "STATE", "GENERATION", "AGENTS"), *rows])
    shown = [f"{deployment['name']}, generation {deployment['generation']}", terminal.paint("bold", lines[0])]
    for (_, state, _, _), line in zip(rows, lines[1:], strict=True):
        health = state.partition(",")[0]
        shown.append(line.replace(health, terminal.paint(_STYLES.get(health, "bold"), health), 1))
    nowhere = {agent: held["why"] for agent, held in deployment["agents"].items() if not held["nodes"]}
    shown += [f"  agent.{agent} is nowhere: {why}" for agent, why in sorted(nowhere.items())]
    shown += _drained(deployment)
    shown += [f"  node.{node} is {_health(each)}: {each['absent']}" for node, each in _absent(deployment["nodes"])]
    faults = {node: each["fault"] for node, each in deployment["nodes"].items() if each["fault"]}
    shown += [f"  node.{node} cannot serve what it should: {why}" for node, why in faults.items()]
    shown += _leases(deployment.get("leases", ()))
    rollout, back = deployment["rollout"], deployment["taken_back"]
    shown += [f"  {shown_rollout(rollout)}"] if rollout else []
    return shown + ([f"  generation {back['generation']} was taken back: {back['why']}"] if back else [])


def _drained(deployment: Mapping[str, Any]) -> Iterator[str]:
    """Agents of which every holder is drained: only requests that come to these nodes themselves are answered."""
    drained = {node for node, each in deployment["nodes"].items() if each["work"] == "draining"}
    for agent, held in sorted(deployment["agents"].items()):
        if held["nodes"] and drained.issuperset(held["nodes"]):
            names = ", ".join(held["nodes"])
            others = "which is drained and takes" if len(held["nodes"]) == 1 else "which are drained and take"
            yield f"  agent.{agent} is on {names} only, {others} nothing from other nodes: orchestrator node uncordon, on {names}"


def _leases(leases: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Who leads, and who may answer for each exclusive agent; on an island, what was last heard of that."""
    heard = leases[0]["heard_seconds_ago"] if leases else 0.0
    if heard is None:
        yield "  who holds its leases was not heard yet"
        return
    indent = "  "
    if heard >= STALE:
        yield f"  its leases, as last heard {span(heard)} ago:"
        indent = "    "
    for each in leases:
        yield indent + _held(each)


def _held(lease: Mapping[str, Any]) -> str:
    name, node = lease["lease"], lease["node"]
    if not node:
        return "nobody leads" if name == "leader" else f"{name} is exclusive, and nobody has its lease"
    what = f"{node} leads" if name == "leader" else f"{name} is exclusive, and {node} has its lease"
    return f"{what}: epoch {lease['epoch']}, for {span(lease['held_seconds'])} or longer"


def _absent(nodes: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Those that the manifest names and that were never there, or have left."""
    return [(node, each) for node, each in nodes.items() if each["absent"] and each["health"] != "alive"]


def shown_rollout(rollout: Mapping[str, Any]) -> str:
    """How far a manifest has come, in a line."""
    generation, taken = rollout["generation"], ", ".join(rollout["taken"])
    by = f"; it is served by {taken}" if taken else ""
    if rollout["state"] == "failed":
        return f"generation {generation} is taken back: {rollout['why']}"
    if rollout["state"] == "done":
        return (
            f"generation {generation} has gone over all nodes{by}"
            if by
            else f"generation {generation} has been given to all nodes"
        )
    if not rollout["node"]:
        return f"generation {generation} waits for a node that is silent{by}"
    return f"generation {generation}: {rollout['node']} takes it over and is watched{by}"


def _state(node: Mapping[str, Any]) -> str:
    """How it is, and whether it takes what comes."""
    return f"{_health(node)}, {node['work']}" if node["work"] in ("cordoned", "draining") else _health(node)


def _health(node: Mapping[str, Any]) -> str:
    """One that was never there, or has left, is not dead: nothing has broken."""
    return "absent" if node["absent"] and node["health"] != "alive" else str(node["health"])


def _generation(node: Mapping[str, Any]) -> str:
    return "-" if node["generation"] is None else str(node["generation"])


def _agents(node: Mapping[str, Any]) -> str:
    return ", ".join(node["agents"]) or "-"


def lacking(nodes: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Who would gain from a model that its node does not serve, where that is, and what to type there."""
    where: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for node, each in nodes.items():
        for entry in each["lacking"]:
            where.setdefault(tuple(entry.items()), []).append(node)
    return [{**dict(entry), "agent": f"{dict(entry)['agent']} on {', '.join(held)}"} for entry, held in where.items()]


def answers(applied: Mapping[str, Any]) -> bool:
    """Whether an agent is held by a node that lives and has something to answer with there."""
    return any(
        applied["nodes"][node]["health"] == "alive"
        and not any(
            each["agent"] == f"agent.{agent}" and each["by"] == NOTHING for each in applied["nodes"][node]["lacking"]
        )
        for agent, held in applied["agents"].items()
        for node in held["nodes"]
        if node in applied["nodes"]
    )


def _lacking(nodes: Mapping[str, Mapping[str, Any]], terminal: Terminal, indent: str = "") -> list[str]:
    told = lacking(nodes)
    head = f"{indent}not as wanted, as a model is not served there; what cures it is typed there:"
    return [head, *(indent + line for line in shown_serving(told, terminal))] if told else []


def shown_placement(applied: Mapping[str, Any], terminal: Terminal) -> str:
    """What a fleet serves, as text: each agent with its nodes and why, the nodes that are not well, and the models that are not
    served."""
    same = "" if applied["new"] else ", as before"
    lines = [f"{applied['name']} runs on its fleet, generation {applied['generation']}{same}"]
    for agent, held in sorted(applied["agents"].items()):
        where = ", ".join(held["nodes"]) or "nowhere"
        lines.append(f"  agent.{agent}  {where}  ({held['why']})")
    lines += _drained(applied)
    absent = {node: f": {each['absent']}" for node, each in _absent(applied["nodes"])}
    ill = {node: _health(each) for node, each in applied["nodes"].items() if each["health"] != "alive"}
    lines += [f"  node.{node} is {how}{absent.get(node, '')}" for node, how in sorted(ill.items())]
    return "\n".join([*lines, *_lacking(applied["nodes"], terminal)])
