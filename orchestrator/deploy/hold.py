"""In which states an endpoint may be, and for how long one takes no calls for a reason that is no failure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

EndpointState = Literal[
    "unknown",  # nothing heard of it yet, or it refused the last connection
    "live",  # it answered a probe, or its trouble is over and no call has succeeded since
    "ready",  # a call succeeded
    "loading",  # it says that it loads the model, or we have it loaded
    "unloaded",  # its model is not in memory; it is loaded when a call needs it
    "yielding",  # its model makes room for another one; its calls finish
    "busy",  # it says that its own queue is full
    "stalled",  # its calls made no progress; no new ones for a while
    "rate_limited",
    "misconfigured",  # it refuses our key
    "open",  # too many failures; no new calls for a while
    "half_open",  # one call tries it
    "draining",  # removed; its calls finish
    "gone",  # removed, does not answer, or does not serve the model any more
]
LOADING: Final = re.compile(r"\bload(s|ing)\b|\bis being loaded\b", re.IGNORECASE)
"""How servers say that the model comes; not those that are *overloaded*."""


@dataclass(frozen=True, slots=True)
class Hold:
    """No new calls until then, for a reason that is no failure."""

    state: EndpointState
    until: float

    @property
    def worth_waiting(self) -> bool:
        """Whether calls stay with the server: it is well, and says itself that it will be free."""
        return self.state in ("busy", "loading")
