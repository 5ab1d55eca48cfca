"""A node's share of a fleet's blueprint: what it holds itself, and of the rest as much as its routers must know. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from orchestrator.core.blueprint import Blueprint, Element

_EMPTY: Final[Mapping[str, Any]] = {
    "models": [],
    "tools": [],
    "knowledge": [],
    "instructions": "",
    "output_schema": None,
    "reflex": [],
    "human": None,
    "elsewhere": True,
}
"""What of an agent only the node needs that holds it. Its words stay, for routers to learn from; and to whom it escalates and
whether requests wait for it, for when no node that holds it answers."""
_KEPT_THERE: Final = ("gate", "budget")
_WORDS: Final = ("description", "examples", "instructions", "keywords", "skills")
"""What of an agent says what it answers and how, and not with what."""
_BESIDE: Final = ("folder", "labels")


def share_of(blueprint: Blueprint, node: str, holds: Collection[str]) -> Blueprint:
    """The blueprint as the ``node`` that ``holds`` these agents serves it: the others are ``elsewhere``, and models, tools and
    documents that only they need are left out."""
    kept = {element.address: _share(element, holds) for element in blueprint.elements.values()}
    gone = {*_needed(blueprint.elements)} - {*_needed(kept)}
    elements = {address: each for address, each in kept.items() if address not in gone}
    return replace(blueprint, elements=elements, node=node)


def bears_as_much(before: Blueprint, after: Blueprint) -> bool:
    """Whether a node can do as much by the one as by the other: they differ in words alone, so that being full says nothing of
    either. Words that make answers longer show in how long these take."""
    return _without_words(before) == _without_words(after)


def _without_words(blueprint: Blueprint) -> dict[str, Any]:
    plain = {name: value for name, value in blueprint.as_json().items() if name not in _BESIDE}
    elements = [(e.address, _bare(e.spec) if e.kind == "agent" else e.spec) for e in blueprint.elements.values()]
    together = {name: value for name, value in (plain.get("coordination") or {}).items() if name != "health_gate"}
    return {**plain, "elements": sorted(elements, key=lambda each: each[0]), "coordination": together}


def _bare(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name not in _WORDS}


def _share(element: Element, holds: Collection[str]) -> Element:
    if element.kind != "agent" or element.spec["name"] in holds:
        return element
    spec = {name: value for name, value in element.spec.items() if name not in _KEPT_THERE}
    return replace(element, spec={**spec, **_EMPTY}, needs=())


def _needed(known: Mapping[str, Element]) -> Iterator[str]:
    """The addresses that agents and routers use, with the fallbacks of their models."""
    waiting = [need for element in known.values() if element.kind in ("agent", "router") for need in element.needs]
    seen: set[str] = set()
    while waiting:
        address = waiting.pop()
        if address in seen or address not in known:
            continue
        seen.add(address)
        yield address
        element = known[address]
        waiting += element.needs
        if element.kind == "model":
            waiting += [f"model.{alias}" for alias in cast(Collection[str], element.spec["fallback"])]
