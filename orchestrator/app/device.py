"""The sensors of this device, opened once and read together."""

from __future__ import annotations

from functools import lru_cache

from orchestrator.app import catalog
from orchestrator.ports.device import Device, Sensor


@lru_cache(maxsize=1)
def sensors() -> tuple[Sensor, ...]:
    """One of each row of the table. A driver's library is started by the first reading and kept."""
    return tuple(catalog.load("sensor", name)() for name in catalog.FAMILIES["sensor"])


def read_device() -> Device | None:
    """What this machine has now, in milliseconds; ``None`` where not even its memory is told."""
    return Device.of(sensor.read() for sensor in sensors())
