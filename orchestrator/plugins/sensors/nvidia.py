"""NVIDIA's graphics processors, through NVML (the driver's own library), by the package ``nvidia-ml-py``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Final

from orchestrator.core.extras import install_line
from orchestrator.ports.device import Accelerator, Reading

_SIGNS_OF_A_DRIVER: Final = ("proc/driver/nvidia", "dev/nvidiactl", "dev/dxg")
"""On Linux; the last one is the driver of the Windows host below WSL 2."""
NO_DRIVER: Final = "no NVIDIA driver"
WITHOUT_LIBRARY: Final = f"an NVIDIA driver is there; its memory is seen with: {install_line('nvidia')}"


class NvidiaSensor:
    """All cards that the driver shows. ``root`` is the root folder of the system; ``library`` stands in for ``pynvml``."""

    kind = "nvidia"

    def __init__(self, root: Path = Path("/"), library: Any = None) -> None:
        self._root = root
        self._library = library
        self._ready = False

    def read(self) -> Reading:
        """One accelerator a card; a note where there is no driver, or where it refuses."""
        if self._library is None and not self._may_have_driver():
            return Reading(notes=(NO_DRIVER,))
        try:
            nvml = self._library or _nvml()
        except ImportError:
            return Reading(notes=(WITHOUT_LIBRARY if sys.platform == "linux" else _unlooked(),))
        try:
            if not self._ready:
                nvml.nvmlInit()
                self._ready = True
            count = nvml.nvmlDeviceGetCount()
            notes: list[str] = []
            cards = tuple(_card(nvml, number, notes) for number in range(count))
            self._ready = not notes  # as below
            return Reading(accelerators=cards, notes=tuple(notes))
        except nvml.NVMLError as error:
            self._ready = False  # a driver that is exchanged under us wants a new start
            return Reading(notes=(f"no NVIDIA graphics processor: {error}",))

    def _may_have_driver(self) -> bool:
        return sys.platform != "linux" or any((self._root / sign).exists() for sign in _SIGNS_OF_A_DRIVER)


def _nvml() -> Any:
    """Imported by name: the package has no types, and where the extra is missing it is not there at all."""
    return importlib.import_module("pynvml")


def _unlooked() -> str:
    return f"NVIDIA graphics processors are not looked for without: {install_line('nvidia')}"


def _card(nvml: Any, number: int, notes: list[str]) -> Accelerator:
    """A card whose driver has no account of memory shares the main one: Jetson and GB10 answer "not supported". Of one that fails
    in another way nothing is known; a note says how."""
    handle = nvml.nvmlDeviceGetHandleByIndex(number)
    name = nvml.nvmlDeviceGetName(handle)
    name = name.decode() if isinstance(name, bytes) else str(name)
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError as error:
        if getattr(error, "value", None) == nvml.NVML_ERROR_NOT_SUPPORTED:
            return Accelerator(name, "cuda", unified=True)
        notes.append(f"{name} does not tell its memory: {error}")
        return Accelerator(name, "cuda")
    return Accelerator(name, "cuda", int(memory.total), int(memory.free))
