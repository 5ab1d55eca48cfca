"""Locks between processes, which the operating system frees when their holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.core.errors import StateUnusable
from orchestrator.core.fleet_errors import FleetError
from orchestrator.ports.host import make_private


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Wait for the lock, and hold it. Raises ``StateUnusable``."""
    with _opened(file) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def only_one(file: Path) -> Iterator[None]:
    """Hold the lock of whoever runs this node's servers. Raises ``FleetError`` where another process has it."""
    with _opened(file) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FleetError(
                "another process of this user runs this node's servers already",
                cure="end that one first (orchestrator runtime stop, or Ctrl-C where node serve runs), or leave them to it",
            ) from error
        yield


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    try:
        make_private(file.parent)
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StateUnusable(f"the lock {file} cannot be made: {error.strerror}") from error
    try:
        yield handle
    finally:
        os.close(handle)
