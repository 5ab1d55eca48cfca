"""The spare: a small JSON file beside the database that says what must run, for the day the database is lost.

It is written in two phases around the database's commit: *prepared* inside the transaction (a full disk refuses the
whole change), *accepted* by a rename after the commit. So the committed desired state always equals the spare or the
prepared one; a database that equals neither lost a commit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from orchestrator.core.digest import digest_of
from orchestrator.ports.durable import sync_folder, write_synced
from orchestrator.ports.store import Revision


class Spare:
    """The spare of one database."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".desired.json")
        self._prepared = self.path.with_name(self.path.name + ".new")

    def prepare(self, revisions: Sequence[Revision]) -> None:
        """Write the next one beside it, durably."""
        plain = [asdict(revision) for revision in revisions]
        content = json.dumps({"digest": digest_of(plain), "desired": plain}, ensure_ascii=False)
        write_synced(self._prepared, content.encode())

    def accept(self) -> None:
        """Put the prepared one in its place. Raises ``OSError``; it may be done again then."""
        with suppress(FileNotFoundError):  # another process put it there, when it opened
            self._prepared.replace(self.path)
        sync_folder(self.path.parent)

    def agrees(self, desired: Sequence[Revision]) -> bool:
        """Whether a database that holds this lost no commit, as far as this one can tell."""
        kept = self.read()
        return kept is None or kept == desired or self.read_prepared() == desired

    def state(self) -> str:
        """Why it cannot be read, in words."""
        return f"its copy {self.path} is {'damaged too' if self.path.exists() else 'missing'}"

    def read(self) -> list[Revision] | None:
        """What must run; ``None`` where there is no spare, or a damaged one."""
        return _read(self.path)

    def read_prepared(self) -> list[Revision] | None:
        """The same of the prepared one."""
        return _read(self._prepared)


def _read(path: Path) -> list[Revision] | None:
    try:
        content = json.loads(path.read_bytes())
        if content["digest"] != digest_of(content["desired"]):
            return None
        return [Revision(**plain) for plain in content["desired"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
