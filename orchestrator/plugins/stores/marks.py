"""Where restricted runs wrote, in a file of its own: programs share it with the runtime, and it outlives a lost state database.

The file is made with its first mark. A damaged one is put aside by the runtime, and everything counts as marked from then on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from orchestrator.core.failpoint import declare, failpoint
from orchestrator.plugins.stores.statefile import Damaged, StateFile, translated
from orchestrator.ports.host import make_private
from orchestrator.ports.marks import Mark

declare("marks.before-keep", "marks.kept")

MARKS_NAME: Final = "restricted.db"
_TABLE: Final = """CREATE TABLE IF NOT EXISTS mark (
    kind TEXT NOT NULL, value TEXT NOT NULL, made REAL NOT NULL, PRIMARY KEY (kind, value))"""


class SqliteMarks:
    """A ``MarkStore``. ``place`` tells the names of stores apart that are in the folders of different processes."""

    def __init__(self, path: Path, place: str, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._prefix = f"{place}:"
        self._now = now
        self._reader: StateFile | None = None
        self._seen = -1

    def recover(self) -> str:
        """Put a damaged file aside, and count everything as marked; gives a note of that for the operator, or nothing. Only for
        the runtime, which holds the lock. Raises ``StateUnusable``."""
        try:
            self._check()
        except Damaged as damage:
            self.close()
            aside = self._put_aside()
            self.add((Mark("all"),))
            return (
                f"{self._path} was damaged ({damage.reason}) and is kept as {aside}: what restricted runs wrote is not known any "
                "more, and whatever a tool gives counts as restricted; with the runtime stopped, and the tools' stores looked "
                "through, remove the new file"
            )
        return ""

    def marks(self) -> Collection[Mark]:
        """All that there are; none where there is no file yet."""
        reader = self._open()
        if reader is None:
            return ()
        self._seen = _version(reader)  # before the rows: what comes between is read once more, and nothing is missed
        return {mark for row in reader.rows("SELECT kind, value FROM mark") if (mark := self._read(*row))}

    def changed(self) -> bool:
        """Whether another connection has written since, or has made the file."""
        reader = self._open()
        return reader is not None and _version(reader) != self._seen

    def add(self, marks: Collection[Mark]) -> None:
        """In one transaction, by a connection of its own: who reads on the event loop waits for no disk."""
        failpoint("marks.before-keep")
        with translated(self._path):
            make_private(self._path.parent)
        file = StateFile(self._path)
        try:
            with file.transaction() as connection:
                connection.execute(_TABLE)
                connection.executemany(
                    "INSERT OR IGNORE INTO mark (kind, value, made) VALUES (?, ?, ?)",
                    [(each.kind, self._written(each), self._now()) for each in marks],
                )
        finally:
            file.close()
        failpoint("marks.kept")

    def close(self) -> None:
        """Close its connection."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open(self) -> StateFile | None:
        if self._reader is None and self._path.exists():
            reader = StateFile(self._path)
            try:
                with reader.transaction() as connection:  # it may be there without its table: made, and killed
                    connection.execute(_TABLE)
            except BaseException:  # passed on: a reader without its table is of no use, and must not stay open
                reader.close()
                raise
            self._reader = reader
        return self._reader

    def _check(self) -> None:
        reader = self._open()
        verdict = reader.rows("PRAGMA quick_check(1)")[0][0] if reader is not None else "ok"
        if verdict != "ok":
            raise Damaged(self._path, str(verdict))

    def _put_aside(self) -> Path:
        stamp = datetime.fromtimestamp(self._now(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self._path.with_name(f"{self._path.name}.corrupt-{stamp}")
        with translated(self._path):
            for ending in ("-wal", "-shm", ""):
                part = self._path.with_name(self._path.name + ending)
                if part.exists():
                    part.rename(aside.with_name(aside.name + ending))
        return aside

    def _written(self, mark: Mark) -> str:
        return self._prefix + mark.value if mark.kind == "name" else mark.value

    def _read(self, kind: str, value: str) -> Mark | None:
        """A mark as it was added; ``None`` for the name of a store in the folder of another process."""
        match kind:
            case "name":
                return Mark("name", value.removeprefix(self._prefix)) if value.startswith(self._prefix) else None
            case "file" | "inode" | "deployment":
                return Mark(kind, value)
        return Mark("all")  # of a newer version: it is not known what it marks


def _version(file: StateFile) -> int:
    """It changes with each commit of another connection."""
    return int(file.rows("PRAGMA data_version")[0][0])
