"""The port of device sensors: what memory, processors, accelerators and power there are.

A *sensor* reads one source (the operating system, a driver) and tells what it saw as a ``Reading``; readings together
make a ``Device``. A sensor never raises for what is not there: a missing driver is a note of its reading, with the reason.
Sizes are bytes, shares 0..1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

AcceleratorKind = Literal["cuda", "rocm", "metal", "npu"]


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A graphics or neural processor. ``unified``: it works in the main memory and has none of its own; ``memory`` and
    ``free`` are ``None`` where nothing tells them."""

    name: str
    kind: AcceleratorKind
    memory: int | None = None
    free: int | None = None
    unified: bool = False


@dataclass(frozen=True, slots=True)
class Power:
    """Where the power comes from, and how full the battery is, where there is one."""

    source: Literal["mains", "battery"]
    battery: float | None = None

    def __str__(self) -> str:
        share = f" ({self.battery:.0%})" if self.battery is not None else ""
        return f"on {self.source}{share}" if self.source == "battery" else f"{self.source}{share}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one sensor saw. What it knows nothing about is ``None`` or empty; ``notes`` say what is not there, and why."""

    memory: int | None = None
    free: int | None = None
    cpus: int | None = None
    accelerators: tuple[Accelerator, ...] = ()
    power: Power | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """What this machine has: main ``memory`` and how much of it is ``free`` now, ``cpus`` that we may use, accelerators,
    power (``None`` where nothing tells), and ``notes`` of the sensors."""

    memory: int
    free: int
    cpus: int
    accelerators: tuple[Accelerator, ...] = ()
    power: Power | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, readings: Iterable[Reading]) -> Device | None:
        """All readings together; for each fact the first that tells it. ``None`` where nothing told the memory."""
        seen = list(readings)
        memory = next((each.memory for each in seen if each.memory), None)
        if memory is None:
            return None
        return cls(
            memory=memory,
            free=next((each.free for each in seen if each.free is not None), memory),
            cpus=next((each.cpus for each in seen if each.cpus), 1),
            accelerators=tuple(one for each in seen for one in each.accelerators),
            power=next((each.power for each in seen if each.power), None),
            notes=tuple(note for each in seen for note in each.notes),
        )

    @property
    def own_memory(self) -> int:
        """Bytes of all accelerators that have a memory of their own."""
        return sum(one.memory or 0 for one in self.accelerators if not one.unified)

    @property
    def free_on_cards(self) -> int | None:
        """Bytes of :attr:`own_memory` that are free now; ``None`` where no accelerator tells."""
        told = [one.free for one in self.accelerators if not one.unified and one.free is not None]
        return sum(told) if told else None

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return asdict(self) | {"accelerators": [asdict(one) for one in self.accelerators], "notes": list(self.notes)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Device:
        """From the plain form."""
        accelerators = tuple(Accelerator(**one) for one in value["accelerators"])
        power = Power(**value["power"]) if value["power"] else None
        return cls(**{**value, "accelerators": accelerators, "power": power, "notes": tuple(value["notes"])})


class Sensor(Protocol):
    """One source of facts about the device."""

    @property
    def kind(self) -> str:
        """Its name in the table of sensors."""
        ...

    def read(self) -> Reading:
        """What it sees now, within milliseconds. Raises nothing: what cannot be had is a note."""
        ...
