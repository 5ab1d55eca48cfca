"""Why a runtime takes no requests: it does not yet, or no longer. Callers wait for the one, and look elsewhere for the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STARTING: Final = "the runtime is starting: what was applied comes back, and takes requests soon"
STOPPING: Final = "the runtime is stopping: requests in work finish, and it takes nothing new"
NOT_READY: Final[Mapping[str, str]] = {"starting": STARTING, "stopping": STOPPING}
"""By the state that it tells of itself."""
STOPPING_CURE: Final = "orchestrator runtime start, once it has ended: what is applied comes back with it"
