"""Files that are on the disk when a call returns, and that a reader never sees half written.

A rename is in its folder, and so it is durable only once the folder is synced too.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_CANNOT: Final = (errno.EINVAL, errno.ENOTSUP)
"""What a file system says that cannot sync a folder; nobody could do more there."""


def write_durably(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Put a file in place of what was there, all or nothing, with this ``mode``; several processes may.

    Raises ``OSError``: then the old content is there or the new one, and nothing beside it.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        write_synced(fresh, content)
        if mode != 0o600:
            fresh.chmod(mode)
        fresh.replace(path)
    except OSError:
        with suppress(OSError):  # the disk fails: the first fault is the one to tell
            fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file of this user alone, and wait until its content is on the disk. Raises ``OSError``."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def move_durably(path: Path, to: Path) -> None:
    """Rename a file, also into another folder of the same disk. Raises ``OSError``."""
    path.replace(to)
    for folder in {path.parent, to.parent}:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make what was renamed within it durable. Windows has no such call, and needs none. Raises ``OSError``."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(handle)
