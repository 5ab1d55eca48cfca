"""What is known of an endpoint before any call: where it is, what it serves and what it can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.deploy.residence import Residence
from orchestrator.ports.provider import Capability, Provider, Support, Target


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """A live address that serves one model. ``slots`` is how many calls it takes at once, ``battery_slots`` how many while the
    device runs on its battery (``None``: as many); ``context`` is in tokens, ``bounded`` where the manifest gives it, and not the
    server. ``residence`` is there where its model may have to be loaded first, and the scheduler decides when. ``started``: its
    server is one that we start, and start again; ``process`` is what that would be as a residence, where it may rest. ``crew``: the
    same text at processes of one server that run with the same options: what waits for one may go to any."""

    id: str
    target: Target
    provider: Provider
    slots: int = 1
    context: int | None = None
    capabilities: Mapping[Capability, Support] = field(default_factory=dict)
    residence: Residence | None = None
    battery_slots: int | None = None
    started: bool = False
    process: Residence | None = None
    bounded: bool = False
    crew: str = ""

    @property
    def can_rest(self) -> bool:
        """Whether its server is a process of ours that ends while nobody needs it."""
        return self.residence is not None and self.residence.process

    @property
    def shows_progress(self) -> bool:
        """Whether its answers can all come in pieces and lose nothing by it, the counts of their tokens neither."""
        able = self.capabilities
        return able.get(Capability.STREAM) is able.get(Capability.STREAM_USAGE) is Support.YES

    @property
    def cuts_unasked(self) -> bool:
        """Whether its server is known to cut what is too long, and tells how much that is only of a model that it has loaded."""
        able = self.capabilities
        if able.get(Capability.OVERFLOW_REFUSED) is not Support.IGNORED or self.target.zone == "cloud":
            return False
        return able.get(Capability.LOAD) is able.get(Capability.CONTEXT_TOLD) is Support.YES
