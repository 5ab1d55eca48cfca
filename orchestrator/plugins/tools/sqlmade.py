"""What the columns of an SQL statement are made of: which of them may hold the values of a named column.

A column holds them where anything in its expression does, whatever is made of it. Conditions tell values too: a column that must
equal a named one holds the same, and rows that were chosen by comparing named columns with others ("the letter that this name
begins with") tell the values whatever stands in them. A condition on a named column alone, or with what the statement itself says,
tells nothing that is not known to who asks, but for yes and no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.plugins.tools.sqlsources import (
    NO_NAMES,
    ROWIDS,
    Column,
    Relation,
    Scope,
    Source,
    alike,
    chosen_by,
    first,
    mark,
    renamed,
    side_by_side,
)
from orchestrator.plugins.tools.sqlwords import (
    CannotTell,
    Group,
    Node,
    Nodes,
    after,
    clauses_of,
    conditions_of,
    equal,
    is_name,
    is_quoted,
    is_select,
    is_sign,
    is_word,
    listed,
    member,
    names_something,
    one_column,
    parted,
    path_at,
    whole_path,
)

MOST_SELECTS: Final = 1_000
"""Looks at a statement within another, views and repeats too."""
_ENDINGS: Final = ("asc", "desc", "nulls", "first", "last")
_JOINS: Final = ("left", "right", "full", "outer", "inner", "cross", "natural")


@dataclass(slots=True)
class Seen:
    """What an expression names: ``holds``, a field whose values it may be made of; ``others``, whether columns without one;
    ``sources``, of which tables; ``apart``, whether that are rows of more than one table of the file."""

    holds: str = ""
    others: bool = False
    sources: set[int] = field(default_factory=set)
    apart: bool = False

    def add(self, other: Seen) -> None:
        """What stands beside it."""
        self.holds = self.holds or other.holds
        self.others = self.others or other.others
        self.sources |= other.sources
        self.apart = self.apart or other.apart

    @property
    def mixed(self) -> str:
        """The field, where a condition compares its values with those of others, but for two of one row of one table."""
        return self.holds if self.others and (self.apart or len(self.sources) > 1) else ""


class Maker:
    """Looks through one statement. ``relations`` gives a table or view by its name, ``None`` where there is none."""

    def __init__(self, relations: Callable[[str], Relation | None]) -> None:
        self._relations = relations
        self._selects = 0
        self._marks = 0

    def select(self, nodes: Nodes, outer: Scope) -> Relation:
        """A SELECT or VALUES, with what it is joined to by UNION and such. Raises ``CannotTell``."""
        self._selects += 1
        if self._selects > MOST_SELECTS or not nodes:
            raise CannotTell
        if is_word(nodes[0], "with"):
            outer, nodes = self.withs(nodes, outer)
        arms, rest = [], nodes
        while rest:
            arm, rest = after(rest, "union", "intersect", "except")
            arms.append(arm)
            rest = rest[2:] if len(rest) > 1 and is_word(rest[1], "all") else rest[1:]
        if len(arms) == 1:
            return self._arm(arms[0], outer)
        arms[-1], tail = after(arms[-1], "order", "limit")
        made = [self._arm(arm, outer) for arm in arms]
        whole = Relation(side_by_side(made), chosen=first(each.chosen for each in made))
        return self._chosen_by_end(whole, tail, Scope(outer, results=whole.columns))

    def _chosen_by_end(self, whole: Relation, tail: Nodes, scope: Scope) -> Relation:
        clauses = clauses_of([_SELECT, *tail])
        return chosen_by(whole, whole.chosen or self._ends(clauses, scope))

    def withs(self, nodes: Nodes, outer: Scope) -> tuple[Scope, Nodes]:
        """What a WITH names, and the statement behind it."""
        scope = Scope(outer, withs={})
        if len(nodes) < 2:
            raise CannotTell
        rest = nodes[2:] if is_word(nodes[1], "recursive") else nodes[1:]
        while True:
            if len(rest) < 2 or not names_something(rest[0]):
                raise CannotTell
            name, rest = path_at(rest, 0)[0], rest[1:]
            names = listed(rest[0]) if isinstance(rest[0], Group) else None
            rest = rest[1:] if names is not None else rest
            while rest and not isinstance(rest[0], Group):  # AS, NOT MATERIALIZED
                rest = rest[1:]
            if len(rest) < 2:  # what it names, and the statement behind
                raise CannotTell
            scope.withs = {**scope.withs, name: self._with(name, names, rest[0], scope)}
            rest = rest[1:]
            if not is_sign(rest[0], ","):
                return scope, rest
            rest = rest[1:]

    def _with(self, name: str, names: Sequence[str] | None, body: Node, scope: Scope) -> Relation:
        """One that names itself is looked at again until it says the same."""
        if not isinstance(body, Group):
            raise CannotTell
        known = Relation([Column(frozenset({each})) for each in names or ()])
        while True:
            scope.withs = {**scope.withs, name: known}
            made = renamed(self.select(body, scope), names)
            if alike(made, known):
                return made
            known = made

    def _arm(self, nodes: Nodes, outer: Scope) -> Relation:
        if nodes and is_word(nodes[0], "values"):
            return self._values(nodes[1:], outer)
        if not nodes or not is_word(nodes[0], "select"):
            raise CannotTell
        clauses, scope = clauses_of(nodes), Scope(outer)
        conditions: list[Nodes] = [clauses[each] for each in ("where", "having") if each in clauses]
        calls: list[tuple[Source, Nodes]] = []
        self._from(clauses.get("from", []), scope, conditions, calls)
        while True:
            before = self._marks
            scope.results = []
            chosen = first(source.chosen for source in scope.sources) or self._called(calls, scope)
            scope.windows = self.seen(clauses.get("window", []), scope).holds
            made = Relation(self.columns(clauses["select"], scope))
            scope.results = made.columns
            for condition in conditions:
                chosen = self._condition(condition, scope) or chosen
            chosen = self._ends(clauses, scope) or chosen
            if self._marks == before:
                return chosen_by(made, chosen)

    def _values(self, nodes: Nodes, outer: Scope) -> Relation:
        rows = [node for node in nodes if isinstance(node, Group)]
        made = [Relation([Column(NO_NAMES, self.seen(part, outer).holds) for part in parted(row)]) for row in rows]
        columns = side_by_side(made)
        return Relation([Column(frozenset({f"column{at}"}), each.holds) for at, each in enumerate(columns, 1)])

    def _called(self, calls: Sequence[tuple[Source, Nodes]], scope: Scope) -> str:
        """Functions that stand for tables: what they are called with is in all that they give."""
        chosen = ""
        for source, given in calls:
            seen = self.seen(given, scope)
            if source.holds and seen.others:
                chosen = source.holds
            if seen.holds:
                self._mark(source.columns, seen.holds)
        return chosen

    def _ends(self, clauses: dict[str, list[Node]], scope: Scope) -> str:
        """By which field rows are chosen in GROUP BY, ORDER BY and LIMIT."""
        terms = [term for each in ("group", "order") for term in parted(clauses.get(each, ()))]
        seen = [self.seen([node for node in term if not is_word(node, *_ENDINGS)], scope) for term in terms]
        return first(each.mixed for each in seen) or self.seen(clauses.get("limit", []), scope).holds

    def _condition(self, nodes: Nodes, scope: Scope) -> str:
        """Marks the columns that must equal a named one; the field by which rows are chosen in another way."""
        chosen = ""
        for each in conditions_of(nodes):
            found = [scope.found(path, quoted=False) for path in equal(each)]
            one_of = member(each)
            made = self.select(one_of[1], scope) if one_of else None
            of = scope.found(one_of[0], quoted=False) if one_of else []
            if made is not None and not made.chosen and (made.holds or not any(column.holds for _, column in of)):
                self._equals(of, made.holds)
            elif found and all(found):
                both = [*found[0], *found[1]]
                self._equals(both, first(column.holds for _, column in both))
            else:
                chosen = self.seen(each, scope).mixed or chosen
        return chosen

    def _equals(self, found: Sequence[tuple[Source | None, Column]], holds: str) -> None:
        """What a statement made beside such a column may be made of it, or say the same in another way."""
        for source, column in found:
            made = source is not None and not source.stored and not column.holds
            self._mark(source.columns if source is not None and made else [column], holds)

    def _mark(self, columns: Iterable[Column], holds: str) -> None:
        self._marks += mark(columns, holds)

    def sources(self, nodes: Nodes, outer: Scope) -> list[Source]:
        """What a FROM names."""
        scope = Scope(outer)
        calls: list[tuple[Source, Nodes]] = []
        self._from(nodes, scope, [], calls)
        self._called(calls, scope)
        return scope.sources

    # what stands in FROM

    def _from(self, nodes: Nodes, scope: Scope, conditions: list[Nodes], calls: list[tuple[Source, Nodes]]) -> None:
        for comma in parted(nodes) if nodes else ():
            rest: Nodes = comma
            natural = False
            while rest:
                item, rest = after(rest, "join")
                rest = rest[1:]
                ends = len(item)
                while ends > 1 and rest and is_word(item[ends - 1], *_JOINS):
                    ends -= 1
                self._item(item[:ends], scope, conditions, calls, natural=natural)
                natural = any(is_word(node, "natural") for node in item[ends:])

    def _item(
        self,
        nodes: Nodes,
        scope: Scope,
        conditions: list[Nodes],
        calls: list[tuple[Source, Nodes]],
        *,
        natural: bool,
    ) -> None:
        table, rest = after(nodes, "on", "using")
        if not table:
            raise CannotTell
        left = list(scope.sources)
        behind = self._table(table, scope, conditions, calls)
        new = scope.sources[len(left) :]
        if behind and is_word(behind[0], "as"):
            behind = behind[1:]
        if behind and names_something(behind[0]) and not is_word(behind[0], "indexed", "not"):
            name = path_at(behind, 0)[0]
            for source in new:
                source.names = source.names | {name} if len(new) > 1 else {name}
            behind = behind[1:]
        if behind and not is_word(behind[0], "indexed", "not"):
            raise CannotTell
        if rest and is_word(rest[0], "on"):
            conditions.append(rest[1:])
        named = listed(rest[1]) if len(rest) > 1 and is_word(rest[0], "using") else None
        if natural or named is not None:
            self._join(left, new, None if named is None else frozenset(named))

    def _join(self, left: Sequence[Source], new: Sequence[Source], named: frozenset[str] | None) -> None:
        """Columns of one name on both sides are one."""
        ours = {name for source in left for column in source.columns for name in column.names}
        for source in new:
            shared = {name for column in source.columns for name in column.names} & ours
            source.joined = frozenset(shared if named is None else shared & named)
            for name in source.joined:
                columns = [column for each in (*left, source) for column in each.named(name)]
                self._mark(columns, first(column.holds for column in columns))

    def _table(self, nodes: Nodes, scope: Scope, conditions: list[Nodes], calls: list[tuple[Source, Nodes]]) -> Nodes:
        """Adds what is named there; gives what stands behind."""
        table = nodes[0]
        if isinstance(table, Group):
            if is_select(table):
                outer = Scope(scope.outer)
                scope.sources.append(Source.of(self.select(table, outer), ""))
            else:
                self._from(table, scope, conditions, calls)
            return nodes[1:]
        path = path_at(nodes, 0)
        if not path or len(path) > 2 or (len(path) == 2 and path[0] not in ("main", "temp")):
            raise CannotTell
        source = Source.of(self._relation(path, scope), path[-1])
        scope.sources.append(source)
        behind = nodes[2 * len(path) - 1 :]
        if behind and isinstance(behind[0], Group):
            calls.append((source, behind[0]))
            behind = behind[1:]
        return behind

    def _relation(self, path: Sequence[str], scope: Scope) -> Relation:
        found = scope.relation(path[0]) if len(path) == 1 else None
        found = found or self._relations(path[-1])
        if found is None:
            raise CannotTell
        return found

    # columns and expressions

    def columns(self, nodes: Nodes, scope: Scope) -> list[Column]:
        """Those of a SELECT or RETURNING."""
        columns: list[Column] = []
        nodes = nodes[1:] if nodes and is_word(nodes[0], "distinct", "all") else nodes
        for part in parted(nodes):
            if part and is_sign(part[-1], "*") and (len(part) == 1 or is_sign(part[-2], ".")):
                columns += _starred(path_at(part, 0), scope)
            else:
                columns.append(self._column(part, scope))
        return columns

    def _column(self, part: Nodes, scope: Scope) -> Column:
        names = set()
        if path := whole_path(part):
            names.add(path[-1])
            if path[-1] in ROWIDS:  # SQLite may name it after the column that is the number of the row
                names |= {name for _, column in scope.found(path, quoted=False) for name in column.names}
        elif len(part) > 1 and names_something(part[-1]):
            names.add(path_at(part, len(part) - 1)[0])
            part = part[:-2] if is_word(part[-2], "as") else part
        return Column(frozenset(names), self.seen(part, scope).holds)

    def seen(self, nodes: Nodes, scope: Scope) -> Seen:
        """What an expression, or a list of them, names."""
        found = Seen()
        at = 0
        while at < len(nodes):
            node, before = nodes[at], nodes[at - 1] if at else None
            step = 1
            if isinstance(node, Group):
                found.add(self._within(node, scope, exists=is_word(before, "exists")))
            elif path := path_at(nodes, at):
                step = max(1, 2 * len(path) - 1)
                called = nodes[at + step] if at + step < len(nodes) else None
                if is_word(before, "in"):
                    found.add(self._in_table(path, scope, called))
                elif isinstance(called, Group) and is_name(node) and len(path) == 1:
                    step += is_word(node, "count") and one_column(called)
                elif is_name(node) or len(path) > 1:
                    found.add(_named(path, scope, quoted=is_quoted(node)))
                    found.holds = found.holds or (scope.windows if is_word(node, "over") else "")
                if is_word(node, "over"):
                    found.holds = found.holds or scope.windows
            at += step
        return found

    def _within(self, group: Group, scope: Scope, *, exists: bool) -> Seen:
        if not is_select(group):
            return self.seen(group, scope)
        made = self.select(group, scope)
        if exists or made.chosen:  # rows that were chosen by others tell a value by being there
            return Seen(made.chosen, others=bool(made.chosen), apart=True)
        return Seen(made.holds, any(not column.holds for column in made.columns), apart=True)

    def _in_table(self, path: Sequence[str], scope: Scope, called: Node | None) -> Seen:
        """``x IN table``; where it is a function, what it is called with is looked at for itself."""
        if isinstance(called, Group) or len(path) > 2:
            return Seen(others=True, apart=True)
        relation = self._relation(path, scope)
        return Seen(relation.holds, any(not column.holds for column in relation.columns), apart=True)


_SELECT: Final = Group()


def _named(path: Sequence[str], scope: Scope, *, quoted: bool) -> Seen:
    found = scope.found(path, quoted=quoted)
    holds = first(column.holds for _, column in found)
    sources = {id(source) for source, _ in found if source is not None}
    return Seen(
        holds, any(not column.holds for _, column in found), sources, any(not _stored(each) for each, _ in found)
    )


def _stored(source: Source | None) -> bool:
    return source is not None and source.stored


def _starred(path: Sequence[str], scope: Scope) -> list[Column]:
    columns = []
    for source in scope.sources:
        if path and path[-1] not in source.names:
            continue
        shared = NO_NAMES if path else source.joined
        columns += [column for column in source.columns if not column.hidden and not column.names & shared]
    return columns
