"""The sensors of this device, opened once and read together."""

from __future__ import annotations

from functools import lru_cache

from orchestrator.app import catalog
from orchestrator.ports.device import Device, Reading, Sensor


@lru_cache(maxsize=1)
def sensors() -> tuple[Sensor, ...]:
    """One of each row of the table. A driver's library is started by the first reading and kept."""
    return tuple(catalog.load("sensor", name)() for name in catalog.FAMILIES["sensor"])


def read_device() -> Device | None:
    """What this machine has now, in milliseconds; ``None`` where not even its memory is told."""
    return Device.of(reading_of(sensor) for sensor in sensors())


def reading_of(sensor: Sensor) -> Reading:
    """What a sensor sees; its own fault is a note like any other thing that cannot be had, and stops nothing."""
    try:
        return sensor.read()
    except Exception as error:  # noqa: BLE001 - a driver's library may raise anything
        return Reading(notes=(f"the sensor {sensor.kind} failed: {type(error).__name__}: {error}",))
