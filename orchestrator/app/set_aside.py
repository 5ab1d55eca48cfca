"""The way out where the state database is lost: put aside what is damaged, while no runtime runs."""

from __future__ import annotations

from pathlib import Path

from orchestrator.app.lock import RuntimeLock
from orchestrator.ports.host import DATABASE_NAME, Folders


def set_aside(folders: Folders) -> tuple[Path, ...]:
    """Rename a state database that no start can recover, and gives the new names; none where a start recovers it, or all is
    well. Raises ``DeployError`` where a runtime runs."""
    from orchestrator.plugins.stores import sqlite

    lock = RuntimeLock(folders.runtime)
    lock.take()
    try:
        return sqlite.set_aside(folders.state / DATABASE_NAME)
    finally:
        lock.free()
