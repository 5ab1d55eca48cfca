"""Where the names in an SQL statement lead: tables, views and statements within it, and their columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Final

from orchestrator.plugins.tools.sqlwords import CannotTell

NO_NAMES: Final[frozenset[str]] = frozenset()
ROWIDS: Final = frozenset({"rowid", "oid", "_rowid_"})


@dataclass(slots=True, eq=False)
class Column:
    """``names`` are those that it may have, in small letters. ``holds``: the named field whose values may stand in it; empty where
    none can. ``hidden``: it is not among those that a star stands for."""

    names: frozenset[str]
    holds: str = ""
    hidden: bool = False


@dataclass(slots=True, eq=False)
class Relation:
    """What a FROM may name. ``stored``: a table of the file, whose rows no statement made. ``chosen``: the field by which its rows
    were chosen, where their number alone could tell a value."""

    columns: list[Column]
    stored: bool = False
    chosen: str = ""

    @property
    def holds(self) -> str:
        """The field of any of its columns."""
        return next((column.holds for column in self.columns if column.holds), self.chosen)


@dataclass(slots=True, eq=False)
class Source:
    """A relation where a FROM names it: columns of its own, as a condition may say of them what they hold there."""

    names: set[str]
    columns: list[Column]
    stored: bool = False
    chosen: str = ""
    joined: frozenset[str] = frozenset()

    @classmethod
    def of(cls, relation: Relation, name: str) -> Source:
        """One more use of it."""
        copies = [Column(each.names, each.holds, each.hidden) for each in relation.columns]
        return cls({name}, copies, relation.stored, relation.chosen)

    def named(self, name: str) -> list[Column]:
        """Its columns that have this name. The number of a row, where it has no column of that name, is that of the table."""
        found = [column for column in self.columns if name in column.names]
        if not found and name in ROWIDS and not self.stored and self.holds:
            return [Column(frozenset({name}), self.holds)]
        return found

    @property
    def holds(self) -> str:
        """The field of any of its columns."""
        return next((column.holds for column in self.columns if column.holds), "")


@dataclass(slots=True, eq=False)
class Scope:
    """What the names in one SELECT may mean; the statement around it is its ``outer``. ``results`` are its own columns, which its
    conditions may name, and ``withs`` what a WITH names."""

    outer: Scope | None = None
    sources: list[Source] = field(default_factory=list)
    results: list[Column] = field(default_factory=list)
    withs: Mapping[str, Relation] = field(default_factory=dict)
    windows: str = ""

    def relation(self, name: str) -> Relation | None:
        """Of a WITH."""
        found = self.withs.get(name)
        return found if found is not None or self.outer is None else self.outer.relation(name)

    def found(self, path: Sequence[str], *, quoted: bool) -> list[tuple[Source | None, Column]]:
        """The columns that a name may mean: those of the innermost statement that has any. A name in quotes that none has may be
        the text of an expression, after which SQLite names a column: it means any of what is made here."""
        for scope in self._outwards():
            found = list(scope._here(path))
            if found:
                return found
        if quoted and len(path) == 1:
            made = [source for scope in self._outwards() for source in scope.sources if not source.stored]
            return [(source, column) for source in made for column in source.columns if column.holds]
        return []

    def _here(self, path: Sequence[str]) -> Iterator[tuple[Source | None, Column]]:
        *before, name = path
        for source in self.sources:
            if before and before[-1] not in source.names:
                continue
            columns = source.named(name) or (source.columns if before else [])
            yield from ((source, column) for column in columns)
        if not before:
            yield from ((None, column) for column in self.results if name in column.names)

    def _outwards(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer


def first(fields: Iterable[str]) -> str:
    """The first that is one."""
    return next((each for each in fields if each), "")


def side_by_side(made: Sequence[Relation]) -> list[Column]:
    """Those of several statements that are joined; they have the names of the first."""
    rows = zip_longest(*(each.columns for each in made))
    return [
        Column(row[0].names if row[0] else NO_NAMES, first(each.holds for each in row if each is not None))
        for row in rows
    ]


def chosen_by(made: Relation, chosen: str) -> Relation:
    """All of its columns tell what its rows were chosen by."""
    if not chosen:
        return made
    return Relation([replace(column, holds=column.holds or chosen) for column in made.columns], chosen=chosen)


def renamed(made: Relation, names: Sequence[str] | None) -> Relation:
    """The same with the columns that a list names. Raises ``CannotTell`` where it names others than there are."""
    if names is None:
        return made
    if len(names) != len(made.columns):
        raise CannotTell
    columns = [Column(frozenset({name}), column.holds) for name, column in zip(names, made.columns, strict=True)]
    return Relation(columns, chosen=made.chosen)


def alike(one: Relation, other: Relation) -> bool:
    """Whether both say the same of their columns."""
    mine, theirs = ([(each.names, each.holds) for each in relation.columns] for relation in (one, other))
    return mine == theirs and one.chosen == other.chosen


def mark(columns: Iterable[Column], holds: str) -> int:
    """Say of columns that they hold a field; of how many that is new."""
    new = [column for column in columns if holds and not column.holds]
    for column in new:
        column.holds = holds
    return len(new)
