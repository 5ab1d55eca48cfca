"""Strict routes: to whom a router's requests come only where what is written of a way there holds, whoever chooses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from orchestrator.core.blueprint import RouterSpec
from orchestrator.core.conditions import Condition, Matter, compile_when, why_all_hold

Guards = Mapping[str, Sequence[Sequence[Condition]]]
"""By name: the conditions of each of its routes, of which those of one must hold."""
NOBODY: Final[frozenset[str]] = frozenset()


def guarded(spec: RouterSpec) -> frozenset[str]:
    """Whom a strict route leads to."""
    return frozenset(way["to"] for way in spec["routes"] if way.get("strict"))


def guards_of(spec: RouterSpec) -> Guards:
    """Several routes to one name are several ways there, so that their conditions are alternatives. Of a name with a strict route
    those count that are not strict, too: beside them ``strict`` would hold nothing. Raises ``DeployError``."""
    found: dict[str, list[Sequence[Condition]]] = {name: [] for name in sorted(guarded(spec))}
    for way in spec["routes"]:
        if way["to"] in found:
            found[way["to"]].append(compile_when(way["when"]))
    return found


def barred_by(guards: Guards, text: str, complexity: str) -> frozenset[str]:
    """To whom this request does not come: no way there is open to it."""
    if not guards:
        return NOBODY
    matter = Matter(text, complexity)
    return frozenset(name for name, ways in guards.items() if not _is_open(ways, matter))


def _is_open(ways: Sequence[Sequence[Condition]], matter: Matter) -> bool:
    return any(why_all_hold(way, matter) is not None for way in ways)
