"""CSV files as tables of an SQLite store: one table a file, loaded again when the file changes."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import ToolFailed
from orchestrator.plugins.tools.sqlite import connect

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the files."""
_LARGEST: Final = 50_000_000
_PATH: Final = "is the path of the tool in the manifest right?"
_LOADED_AGAIN: Final = "mend that line; the file is loaded again within a second"
_WHOLE: Final = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
_DECIMAL: Final = re.compile(r"-?(0|[1-9]\d{0,14})\.\d{1,15}", re.ASCII)
_SOURCES: Final = """CREATE TABLE IF NOT EXISTS _csv (
    name TEXT PRIMARY KEY, stamp TEXT NOT NULL, kept INTEGER NOT NULL DEFAULT 0)"""


class CsvTables:
    """The CSV file or the folder of them at ``path``, loaded into the store ``into``.

    A table that queries write is *kept*: its file fills it once and is not read again, or the writes would be lost.
    """

    def __init__(self, path: Path, into: Path) -> None:
        self._path = path
        self._into = into
        self._loaded: dict[str, str] = {}
        self._looked = 0.0
        self._behind = True

    def changed(self) -> bool:
        """Whether :meth:`load` has something to do; looks at the files at most once a second."""
        # Once behind, always behind until loaded: a wrong file must not be forgotten between two looks.
        if not self._behind and time.monotonic() - self._looked >= _LOOK_EVERY:
            self._looked = time.monotonic()
            self._behind = self._stamps() != self._loaded
        return self._behind

    def load(self) -> None:
        """Bring the tables to what the files say, all or nothing. Raises ``ToolFailed`` with file and line."""
        stamps = self._stamps()
        with _store(self._into) as connection:
            known = {name: (stamp, kept) for name, stamp, kept in connection.execute("SELECT * FROM _csv")}
            for name, stamp in stamps.items():
                old, kept = known.get(name, ("", 0))
                if stamp != old and not kept:
                    _fill(connection, name, _read(self._file(name)))
                    connection.execute("INSERT OR REPLACE INTO _csv VALUES (?, ?, 0)", (name, stamp))
            for name in known.keys() - stamps.keys():
                _forget(connection, name, kept=known[name][1])
        self._loaded = stamps
        self._behind = False

    def keep(self, tables: Iterable[str]) -> None:
        """From now on these tables live in the store."""
        with _store(self._into) as connection:
            connection.executemany("UPDATE _csv SET kept = 1 WHERE name = ?", [(name,) for name in tables])

    def _file(self, name: str) -> Path:
        return self._path / f"{name}.csv" if self._path.is_dir() else self._path

    def _stamps(self) -> dict[str, str]:
        try:
            files = sorted(self._path.glob("[!.]*.csv")) if self._path.is_dir() else [self._path]
            found = {file.stem: _stamp(file, self._path) for file in files}
        except OSError as error:
            raise ToolFailed(f"{self._path.name} cannot be read: {error.strerror}", cure=_PATH) from error
        if not found:
            raise ToolFailed(f"the folder {self._path.name} holds no .csv file", cure=_PATH)
        return found


@contextmanager
def _store(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one load, in one transaction."""
    connection = connect(path.as_uri())
    try:
        connection.execute(_SOURCES)
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise ToolFailed(
            f"the tables cannot be loaded: {error}",
            cure="is the disk full or read-only? a damaged store can be moved away; it is made again from the files",
        ) from error
    finally:
        connection.close()  # rolls back what was not committed


def _stamp(file: Path, root: Path) -> str:
    if root.is_dir() and not file.resolve().is_relative_to(root.resolve()):
        raise ToolFailed(
            f"{file.name} is a link that leaves its folder", cure="copy the file there, in place of the link"
        )
    found = file.stat()
    if found.st_size > _LARGEST:
        raise ToolFailed(
            f"{file.name} is larger than {_LARGEST // 1_000_000} MB",
            cure="take rows or columns out of it, or make it an SQLite file",
        )
    return f"{found.st_size}:{found.st_mtime_ns}"


def _read(file: Path) -> tuple[list[str], list[list[str]]]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ToolFailed(
            f"{file.name} is not UTF-8 (byte {error.start})", cure=f"convert it: iconv -f latin1 -t utf-8 {file.name}"
        ) from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)  # a comma where none is there: max keeps the first
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(file.name, header)
        rows = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise ToolFailed(
                    f"{file.name} line {reader.line_num}: {len(row)} fields, the header has {len(header)}",
                    cure=_LOADED_AGAIN,
                )
            rows.append(row)
    except csv.Error as error:
        raise ToolFailed(f"{file.name} line {reader.line_num}: {error}", cure=_LOADED_AGAIN) from error
    return header, rows


def _check_header(file: str, header: Sequence[str]) -> None:
    folded = [name.casefold() for name in header]
    if not header or not all(header) or len(set(folded)) < len(folded):
        raise ToolFailed(f"{file} line 1: each column needs a name of its own", cure=_LOADED_AGAIN)


def _fill(connection: sqlite3.Connection, name: str, content: tuple[list[str], list[list[str]]]) -> None:
    header, rows = content
    if name.startswith(("sqlite_", "_csv")):
        raise ToolFailed(f"{name}.csv: the name is taken by the store", cure="give the file another name")
    makers: list[type[Any]] = [_maker(column) for column in zip(*rows, strict=True)] if rows else [str for _ in header]
    columns = ", ".join(f"{_quoted(column)} {_AFFINITY[maker]}" for column, maker in zip(header, makers, strict=True))
    connection.execute(f"DROP TABLE IF EXISTS {_quoted(name)}")
    connection.execute(f"CREATE TABLE {_quoted(name)} ({columns})")
    values = ", ".join("?" * len(header))
    connection.executemany(
        f"INSERT INTO {_quoted(name)} VALUES ({values})",  # noqa: S608 - quoted
        ([maker(cell) if cell else None for maker, cell in zip(makers, row, strict=True)] for row in rows),
    )


def _forget(connection: sqlite3.Connection, name: str, *, kept: int) -> None:
    """The file is gone: so is its table, unless queries wrote it."""
    if not kept:
        connection.execute(f"DROP TABLE IF EXISTS {_quoted(name)}")
        connection.execute("DELETE FROM _csv WHERE name = ?", (name,))


def _maker(column: Sequence[str]) -> type[Any]:
    """A column is a number only where all its cells are, so that ``007`` and a postcode stay texts."""
    cells = [cell for cell in column if cell]
    if cells and all(_WHOLE.fullmatch(cell) for cell in cells):
        return int
    if cells and all(_WHOLE.fullmatch(cell) or _DECIMAL.fullmatch(cell) for cell in cells):
        return float
    return str


_AFFINITY: Final[dict[type[Any], str]] = {int: "INTEGER", float: "REAL", str: "TEXT"}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
