"""Apple silicon: its graphics processor works in the main memory."""

from __future__ import annotations

import platform

from orchestrator.ports.device import Accelerator, Reading


class AppleSensor:
    """Told by the platform alone. ``system`` and ``machine`` stand in for this one's."""

    kind = "apple"

    def __init__(self, system: str = "", machine: str = "") -> None:
        self._here = (system or platform.system(), machine or platform.machine())

    def read(self) -> Reading:
        """One accelerator on Apple silicon; nothing elsewhere."""
        if self._here != ("Darwin", "arm64"):
            return Reading()
        return Reading(accelerators=(Accelerator("Apple silicon", "metal", unified=True),))
