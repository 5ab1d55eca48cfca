"""What tells one model from another under the same name, where its server tells no digest: so that what was probed of the one is
not believed of the other. The same on every machine that has the same model; never a path or a time."""

from __future__ import annotations

import functools
import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from orchestrator.core.digest import digest_of

_PIECE: Final = 2**20
"""Bytes of a file's begin and of its end: in the first stand the names, the vocabulary and the template, in the last weights."""
_MAGIC: Final = b"GGUF"
_TOLD: Final = ("vocab_type", "n_vocab", "n_ctx_train", "n_embd", "n_params", "size", "ftype")


async def digest_of_gguf(path: str) -> str:
    """Of a file that this device can read, by its size, its begin and its end; empty where it cannot, or it is no such file."""
    return await anyio.to_thread.run_sync(_of_file, path) if path.endswith(".gguf") else ""


def digest_of_told(meta: Mapping[str, Any], template: str) -> str:
    """Of what llama-server tells of a loaded model; empty where it tells nothing."""
    told = {name: meta[name] for name in _TOLD if name in meta}
    return f"told-{digest_of([told, template])[:16]}" if told else ""


def _of_file(path: str) -> str:
    try:
        found = Path(path).stat()
        return _of_piece(path, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else ""
    except (OSError, ValueError):
        return ""  # on another machine, or not ours to read


@functools.lru_cache(maxsize=64)
def _of_piece(path: str, size: int, _: int) -> str:
    """Read anew when the file's time changes."""
    with Path(path).open("rb") as file:
        head = file.read(_PIECE)
        if not head.startswith(_MAGIC):
            return ""
        file.seek(max(0, size - _PIECE))
        end = file.read(_PIECE)
    return f"gguf-{hashlib.sha256(head + end + str(size).encode()).hexdigest()[:16]}"
