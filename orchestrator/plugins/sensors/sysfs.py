"""Accelerators that Linux shows in ``/sys``: AMD's graphics processors, and neural processors of any maker.

AMD: ``class/drm/card*/device`` with ``vendor`` 0x1002 and ``mem_info_vram_total``/``mem_info_vram_used`` in bytes (kernel
documentation, amdgpu "Memory reporting"). Neural processors: ``class/accel/accel*`` (kernel documentation, "Compute
accelerators"), told apart by the name of their driver.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.ports.device import Accelerator, Reading

_AMD: Final = "0x1002"
_CARD: Final = re.compile(r"card\d+")  # not card0-HDMI-A-1, which is a connector
_NPUS: Final = {
    "intel_vpu": "Intel NPU",
    "amdxdna": "AMD XDNA NPU",
    "rocket": "Rockchip NPU",
    "ethosu": "Arm Ethos NPU",
}
"""Neural processors that work in the main memory, by their kernel driver."""


class AmdSensor:
    """AMD's graphics processors. ``root`` is the root folder of the system."""

    kind = "amd"

    def __init__(self, root: Path = Path("/")) -> None:
        self._folder = root / "sys/class/drm"

    def read(self) -> Reading:
        """One accelerator a card of which the driver tells the memory."""
        cards = tuple(_amd_card(folder) for folder in _entries(self._folder) if _is_amd(folder))
        return Reading(accelerators=cards, notes=() if cards else ("no AMD graphics processor",))


class NpuSensor:
    """Neural processors. ``root`` is the root folder of the system."""

    kind = "npu"

    def __init__(self, root: Path = Path("/")) -> None:
        self._folder = root / "sys/class/accel"

    def read(self) -> Reading:
        """One accelerator for each that has a driver."""
        found = tuple(_npu(folder) for folder in _entries(self._folder))
        return Reading(accelerators=found, notes=() if found else ("no neural processor",))


def _entries(folder: Path) -> Iterator[Path]:
    """Folders of a class, in order; nothing where the kernel does not have the class."""
    yield from sorted(folder.iterdir()) if folder.is_dir() else ()


def _is_amd(folder: Path) -> bool:
    device = folder / "device"
    return bool(_CARD.fullmatch(folder.name)) and _text(device / "vendor") == _AMD and _total(device) is not None


def _amd_card(folder: Path) -> Accelerator:
    device = folder / "device"
    total, used = _total(device), _number(device / "mem_info_vram_used")
    name = _text(device / "product_name") or f"AMD graphics {_text(device / 'device') or folder.name}"
    free = max(0, total - used) if total is not None and used is not None else None
    return Accelerator(name, "rocm", total, free)


def _npu(folder: Path) -> Accelerator:
    driver = (folder / "device/driver").resolve().name if (folder / "device/driver").exists() else ""
    name = _NPUS.get(driver) or f"accelerator {folder.name}{f' ({driver})' if driver else ''}"
    return Accelerator(name, "npu", unified=driver in _NPUS)


def _total(device: Path) -> int | None:
    return _number(device / "mem_info_vram_total")


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isascii() and text.isdigit() else None


def _text(file: Path) -> str:
    """What a file of the kernel says; empty where there is none, or where it may not be read now (a card that sleeps)."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
