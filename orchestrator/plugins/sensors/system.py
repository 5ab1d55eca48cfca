"""Main memory, processors and power, as psutil tells them on every system."""

from __future__ import annotations

import os
from typing import Any

from orchestrator.ports.device import Power, Reading


class SystemSensor:
    """The operating system's own account. A container's limits are not looked at."""

    kind = "system"

    def read(self) -> Reading:
        """Memory, processors that this process may use, power source and battery."""
        import psutil

        memory = psutil.virtual_memory()
        return Reading(memory=memory.total, free=memory.available, cpus=_cpus(), power=_power(psutil))


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _power(psutil: Any) -> Power | None:
    """``None`` where there is no battery, or no account of it: psutil lacks the call on some systems."""
    ask = getattr(psutil, "sensors_battery", None)
    battery = ask() if ask is not None else None
    if battery is None:
        return None
    share = min(1.0, max(0.0, battery.percent / 100))
    return Power("battery" if battery.power_plugged is False else "mains", share)
