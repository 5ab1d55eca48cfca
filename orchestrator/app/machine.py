"""What this machine has, for `doctor`."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Any, Final

from orchestrator.app.version import program_version
from orchestrator.ports.host import Folders

EXTRAS: Final = {"numpy": "fast", "keyring": "keyring", "onnxruntime_genai": "onnx"}
"""Optional libraries and the extra that brings each."""


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def memory() -> dict[str, int]:
    """Bytes of memory: all there is, and what is free."""
    import psutil

    found = psutil.virtual_memory()
    return {"total": found.total, "free": found.available}


def machine(folders: Folders) -> dict[str, Any]:
    """Program, interpreter, system, processors, memory in bytes, free disk, folders, optional libraries."""
    import psutil

    there = memory()
    return {
        "version": program_version(),
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory": there["total"],
        "memory_free": there["free"],
        "disk_free": psutil.disk_usage(str(_there(folders.state))).free,
        "state": str(folders.state),
        "config": str(folders.config),
        "libraries": {name: importlib.util.find_spec(name) is not None for name in EXTRAS},
    }
