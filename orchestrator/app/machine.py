"""What this machine has, for `doctor`."""

from __future__ import annotations

import importlib.util
import platform
import sys
from pathlib import Path
from typing import Any

from orchestrator.app.device import read_device
from orchestrator.app.version import program_version
from orchestrator.core.extras import EXTRAS
from orchestrator.ports.host import Folders


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def machine(folders: Folders) -> dict[str, Any]:
    """Program, interpreter, system, what the sensors see (sizes in bytes), free disk, folders, optional libraries."""
    import psutil

    device = read_device()
    seen = device.as_json() if device else {"memory": 0, "free": 0, "cpus": 1, "accelerators": [], "notes": []}
    return {
        "version": program_version(),
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": seen["cpus"],
        "memory": seen["memory"],
        "memory_free": seen["free"],
        "accelerators": seen["accelerators"],
        "power": str(device.power) if device and device.power else None,
        "unseen": seen["notes"],
        "disk_free": psutil.disk_usage(str(_there(folders.state))).free,
        "state": str(folders.state),
        "config": str(folders.config),
        "libraries": {name: importlib.util.find_spec(extra.module) is not None for name, extra in EXTRAS.items()},
    }
