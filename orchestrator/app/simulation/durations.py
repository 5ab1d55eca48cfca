"""How long a simulated model takes for an answer: what the manifest and the catalogue know of it, on hardware of a kind.

A model that writes one token reads all of its weights once, so that memory's speed bounds it; a prompt is read many tokens at a
time, so that arithmetic bounds it (the roofline: Williams, Waterman and Patterson 2009). Both numbers of a kind of hardware are
what such machines reach with four-bit weights, rounded. They are assumed, not measured: an operator who has measured says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.manifest.catalogue.reader import find_model

UNKNOWN_SECONDS: Final = 2.0
"""For an answer of a model of which nothing is known."""
FAR_SECONDS: Final = 1.5
"""For an answer of a model in the cloud, or of a server of the local net."""
RULE_SECONDS: Final = 0.002
"""For an answer of an agent that needs no model."""
FAR_SLOTS: Final = 8
BYTES_A_PARAMETER: Final = 0.6
"""Of weights in four bits, with what goes along."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """A kind of machine. ``reads``: bytes of weights a second; ``computes``: operations a second; ``loads``: bytes a second of a
    model's file, from its disk."""

    about: str
    reads: float
    computes: float
    loads: float


HARDWARE: Final[Mapping[str, Hardware]] = {
    "pi": Hardware("a Raspberry Pi 5", 10e9, 0.1e12, 0.3e9),
    "cpu": Hardware("a desktop processor with two channels of DDR5", 48e9, 0.6e12, 1e9),
    "apple": Hardware("an Apple M processor of the base kind", 90e9, 4e12, 2e9),
    "gpu": Hardware("a graphics card like the RTX 4060", 210e9, 19e12, 2e9),
}


@dataclass(frozen=True, slots=True)
class Assumed:
    """What is assumed of the work. ``hardware`` by node (``""``: of all others), ``seconds`` of an answer by agent (``""``: of all
    others), where the operator said them; ``prompt`` and ``answer`` are tokens of a request; ``slots`` those of a model where the
    manifest does not tell."""

    hardware: Mapping[str, str] = field(default_factory=lambda: {"": "cpu"})
    seconds: Mapping[str, float] = field(default_factory=dict)
    prompt: int = 300
    answer: int = 120
    slots: int = 1

    def of_node(self, node: str) -> str:
        """The kind of hardware that a node is."""
        return self.hardware.get(node) or self.hardware.get("", "cpu")

    def seconds_of(self, agent: str, model: Mapping[str, Any] | None, node: str) -> float:
        """Seconds that an answer of an agent takes on a node, by a model or by none, on average."""
        said = self.seconds.get(agent, self.seconds.get(""))
        if said is not None:
            return said
        if model is None:
            return RULE_SECONDS
        if model["zone"] != "node":
            return FAR_SECONDS
        weights, parameters = weights_of(model), _parameters_of(model)
        if not weights or not parameters:
            return UNKNOWN_SECONDS
        machine = HARDWARE[self.of_node(node)]
        return self.prompt * 2 * parameters / machine.computes + self.answer * weights / machine.reads

    def load_seconds(self, model: Mapping[str, Any], node: str) -> float:
        """Seconds until a model of a node is in its memory."""
        return weights_of(model) / HARDWARE[self.of_node(node)].loads if model["zone"] == "node" else 0.0

    def slots_of(self, model: Mapping[str, Any]) -> int:
        """How many answers it writes at once, each as fast as one alone."""
        said = model["max_concurrent"]
        return int(said) if said else FAR_SLOTS if model["zone"] != "node" else self.slots


def weights_of(model: Mapping[str, Any]) -> float:
    """Bytes of its weights; 0 where they are not known."""
    builds = model["builds"].get(model["quantization"]) if model["quantization"] else None
    return float(builds or model["memory"] or 0)


def _parameters_of(model: Mapping[str, Any]) -> float:
    row = find_model(model["alias"]) or {}
    return float(row.get("parameters") or weights_of(model) / BYTES_A_PARAMETER)
