"""What a run was answered by, and which models it asked where: the little of a stored run that figures of many runs need. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.record import record

REFLEX = "reflex"
PERSON = "person"
CLOUD = "cloud"


_CALLS = ("model", "vectors")
"""Kinds of steps that ask a model; of those that make vectors, only what went to the cloud is a step."""


@record
class ServedCall:
    """One call of a model. ``subject`` is who asked; ``zone`` is where it ran: node, lan or cloud, empty where that was not
    recorded; ``ms`` is without the waiting for a slot; ``fault`` names what ended it, where something did; ``paid`` is what
    the cloud cost by the prices of then, each try of it, ``None`` where one had no price."""

    subject: str
    endpoint: str
    zone: str
    prompt_tokens: int
    completion_tokens: int
    ms: float
    fault: str = ""
    paid: float | None = None

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.paid is None:
            del plain["paid"]
        return plain


@record
class ServedRun:
    """One run. ``finished`` is in seconds since 1970; ``served_by`` as in a result; ``estimated``: a server did not count."""

    id: str
    finished: float
    status: str
    served_by: str
    total_ms: float
    calls: tuple[ServedCall, ...] = ()
    estimated: bool = False

    @property
    def went_to_cloud(self) -> bool:
        """Whether any of its calls was made there, be it one that failed, that only checked an answer or that made a vector."""
        return any(call.zone == CLOUD for call in self.calls)

    @property
    def zone(self) -> str:
        """Where the model ran that answered; empty where no model did, or where that was not recorded."""
        return next((call.zone for call in reversed(self.calls) if call.endpoint == self.served_by), "")

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {"calls": [call.as_json() for call in self.calls]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ServedRun:
        """From the plain form; raises ``TypeError`` where it is none."""
        return cls(**{**value, "calls": tuple(ServedCall(**call) for call in value["calls"])})


def served_run(stored: Mapping[str, Any]) -> ServedRun:
    """Of a run as the store gives it. A call that found nobody to ask is none."""
    models = (step for step in stored["steps"] if step["kind"] in _CALLS)
    calls = tuple(_call(step) for step in models if step["detail"].get("endpoint"))
    return ServedRun(
        id=str(stored["id"]),
        finished=float(stored.get("finished", 0.0)),
        status=str(stored["status"]),
        served_by=str(stored["served_by"]),
        total_ms=float(stored["timings_ms"].get("total", 0.0)),
        calls=calls,
        estimated=bool(stored["usage"].get("estimated")),
    )


def _call(step: Mapping[str, Any]) -> ServedCall:
    detail = step["detail"]
    return ServedCall(
        subject=str(step["subject"]),
        endpoint=str(detail["endpoint"]),
        zone=str(detail.get("zone", "")),
        prompt_tokens=int(detail.get("prompt_tokens", 0)),
        completion_tokens=int(detail.get("completion_tokens", 0)),
        ms=max(0.0, float(step["took_ms"]) - float(detail.get("queue_ms", 0.0))),
        fault=str(detail.get("fault", "")),
        paid=None if detail.get("paid") is None else float(detail["paid"]),
    )
