"""May this go to that endpoint? One pure rule, asked before every call of a model: zone, privacy, budget, redaction, approval.

The gates stand in this order; the first that says no ends it. Each that was passed says why, so that a ruling can be read.
"""

from __future__ import annotations

from typing import Final, Literal

from orchestrator.core.record import record
from orchestrator.ports.provider import Zone

Gate = Literal["zone", "privacy", "budget", "redaction", "approval"]
GATES: Final[tuple[Gate, ...]] = ("zone", "privacy", "budget", "redaction", "approval")
Consent = Literal["not needed", "given", "missing"]


@record
class Departure:
    """What is known of a call and of where it would go.

    ``offline``: the agent may use nothing beyond the local network. ``restricted``: what would be sent may reach no cloud.
    ``over_budget`` says which limit it would break, ``unredactable`` what keeps the text from being made fit to be sent; each is
    empty where nothing does. ``redacts``: values are replaced by placeholders. ``budget`` is what is set aside for it, in words.
    """

    endpoint: str
    zone: Zone
    offline: bool = False
    restricted: bool = False
    budget: str = ""
    over_budget: str = ""
    redacts: bool = True
    unredactable: str = ""
    consent: Consent = "not needed"


@record
class Ruling:
    """``refused`` is the gate that said no, empty where all were passed; ``reasons`` are of each gate that was asked."""

    endpoint: str
    refused: Gate | Literal[""]
    reasons: tuple[tuple[Gate, str], ...] = ()

    @property
    def why(self) -> str:
        """All reasons, in a sentence."""
        return "; ".join(f"{gate}: {reason}" for gate, reason in self.reasons)


def rule(departure: Departure) -> Ruling:
    """Whether it may go there. What stays near passes at the first gate."""
    if departure.zone != "cloud":
        return Ruling(departure.endpoint, "", (("zone", departure.zone),))
    passed: list[tuple[Gate, str]] = []
    for gate in GATES:
        allowed, reason = _at(gate, departure)
        passed.append((gate, reason))
        if not allowed:
            return Ruling(departure.endpoint, gate, tuple(passed))
    return Ruling(departure.endpoint, "", tuple(passed))


def _at(gate: Gate, departure: Departure) -> tuple[bool, str]:
    """What one gate says of a call to the cloud."""
    match gate:
        case "zone":
            return (
                not departure.offline,
                "the agent works offline" if departure.offline else "the manifest names a model in the cloud",
            )
        case "privacy":
            return not departure.restricted, "restricted" if departure.restricted else "not restricted"
        case "budget":
            return not departure.over_budget, departure.over_budget or departure.budget or "none is set"
        case "redaction":
            return not departure.unredactable, departure.unredactable or ("on" if departure.redacts else "off")
        case "approval":
            return departure.consent != "missing", departure.consent
