"""What waits for a target that is away: a request that an agent answers once its model can be reached again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.core.choices import DataClass

DeliveryState = Literal["waiting", "delivered", "failed", "expired", "cancelled"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that waits, or waited. Times are seconds since 1970.

    ``agent`` answers it; ``away`` is why it could not when the request came, ``error`` why the last of ``tries`` did not reach
    it. ``again`` is when it is tried next, at the earliest where another one of its agent is tried ``behind`` which it stands;
    ``None`` while its deployment is not served. ``held`` is all that the run needs to go on; ``settles`` names what the same
    run waited for before. ``sent`` is when a try began of which the store knows no end.
    ``there`` is the node on which its run waits for a person, where it does, and ``part`` what that is called there: it is asked
    until it has ended.
    """

    id: str
    deployment: str
    revision: int
    run: str
    agent: str
    text: str
    created: float
    expires: float
    away: str = ""
    session: str = ""
    data_class: DataClass = "internal"
    state: DeliveryState = "waiting"
    tries: int = 0
    again: float | None = 0.0
    error: str = ""
    sent: float | None = None
    delivered: float | None = None
    by: str = ""
    held: Mapping[str, Any] = field(default_factory=dict)
    settles: str = ""
    behind: str = ""
    there: str = ""
    part: str = ""

    def as_json(self) -> dict[str, Any]:
        """What people see of it."""
        return {
            "id": self.id,
            "state": self.state,
            "deployment": self.deployment,
            "revision": self.revision,
            "run": self.run,
            "session": self.session,
            "agent": self.agent,
            "data_class": self.data_class,
            "request": self.text,
            "away": self.away,
            "there": self.there,
            "part": self.part,
            "created": self.created,
            "expires": self.expires,
            "tries": self.tries,
            "again": self.again,
            "behind": self.behind,
            "error": self.error,
            "ended": self.delivered,
            "by": self.by,
        }
