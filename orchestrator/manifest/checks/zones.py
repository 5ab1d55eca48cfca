"""A written zone against the address: the proofs that keep data near believe the zone, so it may not be nearer than the truth."""

from __future__ import annotations

from typing import Final

from orchestrator.core.hosts import is_named
from orchestrator.manifest.faults import fault, warning
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.zone import zone_of
from orchestrator.ports.provider import Zone

_FAR: Final[dict[Zone, int]] = {"node": 0, "lan": 1, "cloud": 2}
_WHERE: Final[dict[Zone, str]] = {"node": "on this device", "lan": "in the local network", "cloud": "on the internet"}


def check_zones(draft: Draft) -> None:
    """No model is said to be nearer than its address shows. Farther is fine: a tunnel on this device may lead to the cloud."""
    for model in draft.models.values():
        if model.zone is not None:
            _check(draft, model, model.zone, zone_of(model.model_copy(update={"zone": None})))


def _check(draft: Draft, model: ModelEntry, zone: Zone, shown: Zone) -> None:
    """``shown``: what the address alone tells."""
    if _FAR[zone] >= _FAR[shown]:
        return
    at = f"model.{model.alias}"
    place = draft.place(at, "zone")
    what = (
        f"by its address, the endpoint is {_WHERE[shown]}" if model.endpoint else f"{model.provider} is {_WHERE[shown]}"
    )
    # An address of the local network may be this device's own, and a name may be one of the local network; no more can be.
    if shown == "lan" or (zone == "lan" and model.endpoint and is_named(model.endpoint)):
        cure = "where that is so, nothing has to be done; else leave zone out"
        draft.add(warning("ORC229", f"{what}: zone: {zone} is taken on trust", place, "", cure), at)
    else:
        draft.add(fault("ORC229", f"{what}: zone: {zone} cannot be", place), at)
