"""What a server fetched into a cache of the Hugging Face hub on this device, compared with what the registry announced.

In such a cache a large file is named by the SHA-256 that the registry announces for it. llama-server keeps its models in one, and
does not compare what came.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from orchestrator.core.errors import NotAsAnnounced
from orchestrator.ports.lifecycle import PullProgress

UNCHECKED: Final = (
    "what came was not compared with what its registry announced: llama-server does not do it, and its cache is not known "
    "or cannot be read here (LLAMA_CACHE, HF_HUB_CACHE or HF_HOME says where it is)"
)
_ANNOUNCED: Final = re.compile(r"[0-9a-f]{64}")
_PIECE: Final = 1 << 22
Files = Mapping[Path, int]
"""With the time at which each was written last, in nanoseconds."""


def files_of(model: str, caches: Iterable[Path]) -> dict[Path, int]:
    """The large files of the repository of a model (``OWNER/NAME:BUILD``) in these caches."""
    folder = f"models--{model.partition(':')[0].replace('/', '--')}"
    found: dict[Path, int] = {}
    for cache in caches:
        for file in (cache / folder / "blobs").glob("*"):
            with suppress(FileNotFoundError):  # it is just put in its place
                if _ANNOUNCED.fullmatch(file.name):
                    found[file] = file.stat().st_mtime_ns
    return found


def compare(there: Iterable[Path], listen: Callable[[PullProgress], None]) -> bool:
    """Read all of them, those too that were there before: a pull that was told as damaged may be asked for again. Whether there
    were any that can be read. Raises ``NotAsAnnounced`` for a file that is not what was announced."""
    files = list(there)
    for file in files:
        try:
            found = _sha256(file, listen)
        except OSError:
            return False
        if found != file.name:
            raise NotAsAnnounced(
                f"what came is not what its registry announced as {file.name[:12]}: {file} has sha256:{found[:12]}",
                cure="it was damaged or changed on its way: pull it again",
            )
    return bool(files)


def _sha256(file: Path, listen: Callable[[PullProgress], None]) -> str:
    total, done, digest = file.stat().st_size, 0, hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            digest.update(piece)
            done += len(piece)
            listen(PullProgress("verifying", file.name[:12], done, total))
    return digest.hexdigest()
