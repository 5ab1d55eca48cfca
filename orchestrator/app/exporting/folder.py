"""Writes the files of an export into a folder, and never over a file that it did not write."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestrator.app.exporting.pages import Page
from orchestrator.core.errors import UsageError

RECORD: Final = ".orchestrator-export.json"
"""What was written last, by name, with digests: a file that is no longer so is somebody else's."""
_FOR_ALL: Final = 0o644
_PRIVATE: Final = 0o600


def write_folder(folder: Path, pages: Sequence[Page], *, force: bool) -> list[str]:
    """Write the pages; gives the names of those that were written. A page that is there and is written once is left alone, also
    with ``force``: it may hold secrets. Raises ``UsageError``, before anything is written, where a file is there that this did
    not write and ``force`` does not allow it; and where the folder cannot be written.
    """
    try:
        known = _known(folder)
        wanted = [page for page in pages if not (page.once and os.path.lexists(folder / page.name))]
        foreign = [page.name for page in wanted if not _is_ours(folder / page.name, page, known)]
        if foreign and not force:
            raise UsageError(
                f"{folder / foreign[0]} is there, and is not as an export wrote it", cure="move it away, or use --force"
            )
        for page in wanted:
            _write(folder, page.name, page.content, _PRIVATE if page.private else _FOR_ALL)
        written = {page.name: _digest(page.content) for page in wanted if not page.once}
        record = json.dumps({**known, **written}, indent=1, sort_keys=True) + "\n"
        _write(folder, RECORD, record.encode(), _FOR_ALL)
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder} cannot be written: {error.strerror}", cure="name another folder with -o"
        ) from error
    return [page.name for page in wanted]


def _known(folder: Path) -> dict[str, str]:
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        known = json.loads(path.read_bytes())
    except ValueError:
        return {}  # then nothing counts as ours
    return {str(name): str(digest) for name, digest in known.items()} if isinstance(known, dict) else {}


def _is_ours(path: Path, page: Page, known: dict[str, str]) -> bool:
    """Nothing is there, or what was written, or what would be."""
    if not os.path.lexists(path):
        return True
    if path.is_symlink() or not path.is_file():
        return False
    content = path.read_bytes()
    return content == page.content or known.get(page.name) == _digest(content)


def _write(folder: Path, name: str, content: bytes, mode: int) -> None:
    """A new file in place of the old one: a link is not followed, and nobody reads half of it. Its folders may be entered by the
    user of a container, whatever the umask."""
    path = folder / name
    for parent in reversed([each for each in path.parents if each.is_relative_to(folder)]):
        if not parent.exists():
            parent.mkdir(parents=True)
            parent.chmod(0o755)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
    new.replace(path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
