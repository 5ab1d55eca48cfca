"""Finds passages in a folder of Markdown and text, with SQLite's full-text index (FTS5).

The order is BM25's. The ``score`` of a passage is the share of the question that it speaks of, 0..1: the words that it
holds, each weighted by how rare it is among all passages; a word that no passage holds counts most. So a question about
something else gets a low score even where common words match.
"""

from __future__ import annotations

import math
import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.plugins.tools.chunks import passages
from orchestrator.plugins.tools.functionwords import FUNCTION_WORDS
from orchestrator.plugins.tools.opened import OpenedTool, arguments_schema, checked_options, described
from orchestrator.plugins.tools.sqlite import SqliteFile, as_table, open_own
from orchestrator.plugins.tools.workers import Workers
from orchestrator.ports.tool import ToolContext, ToolFunction, ToolOutcome, ToolPlace

OPTIONS: Final[Mapping[str, Any]] = {
    "path": {"type": "string", "minLength": 1},
    "include": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
}

_INCLUDE: Final = ("**/*.md", "**/*.txt")
_LOOK_EVERY: Final = 1.0
_LARGEST: Final = 2_000_000
_BATCH_SECONDS: Final = 0.2
"""Seconds of indexing that one commit holds, and that a call that is cut off loses."""
_MOST_WORDS: Final = 32
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS file (path TEXT PRIMARY KEY, stamp TEXT NOT NULL)",
    """CREATE VIRTUAL TABLE IF NOT EXISTS passage USING fts5 (
        heading, text, source, file UNINDEXED, tokenize = "unicode61 remove_diacritics 2")""",
)
_SEARCH: Final = """SELECT rowid AS id, file, heading, text FROM passage WHERE passage MATCH ?
    ORDER BY bm25(passage, 3.0, 1.0, 2.0), rowid LIMIT ?"""
_WORD: Final = re.compile(r"[^\W_]+")


def open_knowledge(name: str, options: Mapping[str, Any], place: ToolPlace) -> OpenedTool:
    """Open the knowledge tool; without a ``path`` its documents are in the folder ``documents`` of its own."""
    read = checked_options(name, options, OPTIONS)
    folder = place.folder / read["path"] if "path" in read else place.state / "documents"
    if "path" not in read:
        folder.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise DeployError(f"the tool {name}: there is no folder {folder}", cure="mend its path")
    store = open_own(place.state / "knowledge.db", _SCHEMA, name)
    knowledge = _Knowledge(name, store, _Folder(folder, tuple(read.get("include", _INCLUDE))))
    search = ToolFunction(
        f"{name}.search",
        "Find passages in the documents that answer a question.",
        arguments_schema(
            {
                "query": described({"type": "string", "maxLength": 2000}, "the question, or words of it"),
                "limit": {"type": "integer", "minimum": 1, "maximum": 20},
            },
            optional=("limit",),
        ),
        "read",
        knowledge.search,
        idempotent=True,
    )
    documents = ToolFunction(
        f"{name}.documents", "The names of the documents.", arguments_schema({}), "read", knowledge.documents, True
    )
    filled_by = f"put documents (Markdown or text) into {folder}"
    return OpenedTool((search, documents), store.close, filled_by=filled_by)


class _Folder:
    """The documents on the disk. Hidden ones, and links that leave the folder, are no documents. ``left_out`` are those that are
    too large to be indexed within one call."""

    def __init__(self, root: Path, include: tuple[str, ...]) -> None:
        self._root = root
        self._include = include
        self._indexed: float | None = None
        self.left_out: tuple[str, ...] = ()

    def due(self) -> bool:
        """Whether to look for changes: a second after the last time, and at once where that failed."""
        return self._indexed is None or time.monotonic() - self._indexed >= _LOOK_EVERY

    def indexed(self, done: bool) -> None:
        """Note whether the index now holds what the folder does."""
        self._indexed = time.monotonic() if done else None

    def stamps(self) -> dict[str, str]:
        """Size and time of each document, by its name below the folder."""
        try:
            root = self._root.resolve(strict=True)
            files = sorted({file for pattern in self._include for file in self._root.glob(pattern)})
            found = {file: file.stat() for file in files if self._is_document(file, root)}
            self.left_out = tuple(self._name(file) for file, stat in found.items() if stat.st_size > _LARGEST)
            return {
                self._name(file): f"{stat.st_size}:{stat.st_mtime_ns}"
                for file, stat in found.items()
                if stat.st_size <= _LARGEST
            }
        except (OSError, ValueError, NotImplementedError) as error:
            raise ToolFailed(
                f"the documents cannot be read: {error}",
                cure="are the path of the tool and its include right, and may the runtime read there?",
            ) from error

    def read(self, name: str) -> str:
        """The text of one document."""
        try:
            return (self._root / name).read_bytes().decode("utf-8-sig", errors="replace")
        except OSError as error:
            raise ToolFailed(
                f"{name} cannot be read: {error.strerror}", cure="let the runtime read it, or leave it out with include"
            ) from error

    def _name(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix()

    def _is_document(self, file: Path, root: Path) -> bool:
        hidden = any(part.startswith(".") for part in file.relative_to(self._root).parts)
        return not hidden and file.is_file() and file.resolve().is_relative_to(root)


class _Knowledge:
    """The functions."""

    def __init__(self, name: str, store: SqliteFile, folder: _Folder) -> None:
        self._store = store
        self._folder = folder
        self._workers = Workers(name)
        self._refreshing = anyio.Lock()

    async def search(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        await self._refresh()
        words = words_of(arguments["query"])
        limit = arguments.get("limit", 3)
        found = await self._store.read(lambda connection: _found(connection, words, limit)) if words else []
        lines = [f"[{n}] {_title(p)} (score {p['score']:.2f})\n{p['text']}" for n, p in enumerate(found, 1)]
        return ToolOutcome(found, "\n\n".join([*(lines or ["nothing found"]), *self._not_searched()]))

    def _not_searched(self) -> list[str]:
        names = ", ".join(self._folder.left_out)
        return [f"not searched, as larger than {_LARGEST // 1_000_000} MB: {names}"] if names else []

    async def documents(self, _arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        await self._refresh()
        sql = "SELECT path AS document FROM file ORDER BY path"
        rows = await self._store.read(lambda connection: connection.execute(sql).fetchall())
        return ToolOutcome([row["document"] for row in rows], "\n\n".join([as_table(rows), *self._not_searched()]))

    async def _refresh(self) -> None:
        """Bring the index to what the folder holds, in small commits: a call that is cut off leaves less to the next."""
        async with self._refreshing:
            if not self._folder.due():
                return
            self._folder.indexed(False)
            stamps = await self._workers.run(self._folder.stamps)
            known = await self._store.read(_known)
            waiting = sorted(path for path in known.keys() | stamps.keys() if known.get(path) != stamps.get(path))
            while waiting:
                work = partial(self._index_some, paths=tuple(waiting), stamps=stamps)
                # The tool's own limit bounds the call; one on the statement would only undo a large file each time.
                del waiting[: await self._store.write(work, endless=True)]
            self._folder.indexed(True)

    def _index_some(self, connection: sqlite3.Connection, paths: Sequence[str], stamps: Mapping[str, str]) -> int:
        """Index at least one file, and more while there is time. Gives how many."""
        until = time.monotonic() + _BATCH_SECONDS
        for done, path in enumerate(paths, 1):
            self._index(connection, path, stamps.get(path))
            if time.monotonic() > until:
                return done
        return len(paths)

    def _index(self, connection: sqlite3.Connection, path: str, stamp: str | None) -> None:
        connection.execute("DELETE FROM passage WHERE file = ?", (path,))
        connection.execute("DELETE FROM file WHERE path = ?", (path,))
        if stamp is not None:
            rows = [(p.heading, p.text, _spoken(path), path) for p in passages(self._folder.read(path))]
            connection.executemany("INSERT INTO passage VALUES (?, ?, ?, ?)", rows)
            connection.execute("INSERT INTO file VALUES (?, ?)", (path, stamp))


def _known(connection: sqlite3.Connection) -> dict[str, str]:
    return {row["path"]: row["stamp"] for row in connection.execute("SELECT * FROM file")}


def words_of(query: str) -> list[str]:
    """The words to look for, each once; nothing of FTS5's query language is left."""
    words = list(dict.fromkeys(_WORD.findall(query.casefold())))
    return ([word for word in words if word not in FUNCTION_WORDS] or words)[:_MOST_WORDS]


def _term(word: str) -> str:
    """The word, or one that begins like it: ``returns`` also finds ``returned``, in any language with endings."""
    stem = word[: max(4, len(word) - 2)]
    return f'"{word}" OR "{stem}" *' if len(word) >= 5 and stem.isalpha() else f'"{word}"'


def _found(connection: sqlite3.Connection, words: Sequence[str], limit: int) -> list[dict[str, Any]]:
    terms = [_term(word) for word in words]
    rows = connection.execute(_SEARCH, (" OR ".join(terms), limit)).fetchall()
    total = connection.execute("SELECT count(*) AS n FROM passage").fetchone()["n"]
    held = [_holders(connection, term) for term in terms]
    weights = [math.log((total + 1) / (len(rowids) + 0.5)) for rowids in held]
    whole = math.fsum(weights) or 1.0
    return [
        {
            "source": row["file"],
            "heading": row["heading"],
            "text": row["text"],
            "score": round(math.fsum(w for w, ids in zip(weights, held, strict=True) if row["id"] in ids) / whole, 3),
        }
        for row in rows
    ]


def _holders(connection: sqlite3.Connection, term: str) -> frozenset[int]:
    found = connection.execute("SELECT rowid AS id FROM passage WHERE passage MATCH ?", (term,))
    return frozenset(row["id"] for row in found)


def _spoken(path: str) -> str:
    """The words of a file's name count too: ``faq/opening-hours.md``."""
    return " ".join(_WORD.findall(path.rpartition(".")[0]))


def _title(passage: Mapping[str, Any]) -> str:
    return f"{passage['source']}: {passage['heading']}" if passage["heading"] else str(passage["source"])
