"""What statements that write put into which columns, and what those give that return rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from orchestrator.plugins.tools.sqlmade import Maker
from orchestrator.plugins.tools.sqlsources import Relation, Scope, Source, mark
from orchestrator.plugins.tools.sqlwords import (
    CannotTell,
    Group,
    Node,
    Nodes,
    after,
    is_sign,
    is_word,
    names_something,
    parted,
    path_at,
)

Fill = tuple[str, str, str]
"""A table, a column of it, and the field whose values are put there."""
Relations = Callable[[str], Relation | None]


def made_by(nodes: Nodes, relations: Relations) -> Relation:
    """The columns of what a statement gives. Raises ``CannotTell``."""
    if not nodes:
        raise CannotTell
    maker = Maker(relations)
    scope, body = maker.withs(nodes, Scope()) if is_word(nodes[0], "with") else (Scope(), nodes)
    if is_word(body[0], "select", "values"):
        return maker.select(body, scope)
    returned = after(body, "returning")[1]
    target = _Target(maker, body, relations)
    source = target.source()
    for _, name, holds in target.fills(scope):
        mark(source.named(name), holds)
    return Relation(maker.columns(returned[1:], Scope(scope, [source])))


def fills_of(nodes: Nodes, relations: Relations, around: Sequence[Source] = ()) -> list[Fill]:
    """What one statement that writes puts where; ``around`` are rows that it may name. Raises ``CannotTell``."""
    maker = Maker(relations)
    outer = Scope(sources=list(around))
    scope, body = maker.withs(nodes, outer) if nodes and is_word(nodes[0], "with") else (outer, nodes)
    if not body or is_word(body[0], "select", "values", "delete"):
        return []
    return list(_Target(maker, body, relations).fills(scope))


class _Target:
    """The table that a statement writes."""

    def __init__(self, maker: Maker, nodes: Nodes, relations: Relations) -> None:
        self._maker = maker
        self._inserts = is_word(nodes[0], "insert", "replace")
        if not self._inserts and not is_word(nodes[0], "update", "delete"):
            raise CannotTell
        body = after(nodes, "returning")[0][1:]
        if body and is_word(body[0], "or"):
            body = body[2:]
        if body and is_word(body[0], "into", "from"):
            body = body[1:]
        path = path_at(body, 0)
        found = relations(path[-1]) if path else None
        if found is None:
            raise CannotTell
        self._relation, self._name, self._names = found, path[-1], {path[-1]}
        self._body = self._aliased(body[2 * len(path) - 1 :])

    def _aliased(self, body: Nodes) -> Nodes:
        if len(body) > 1 and is_word(body[0], "as") and names_something(body[1]):
            self._names.add(path_at(body[1:], 0)[0])
            return body[2:]
        return body

    def source(self) -> Source:
        """Its rows."""
        source = Source.of(self._relation, "")
        source.names = set(self._names)
        return source

    def fills(self, scope: Scope) -> Iterator[Fill]:
        """What it puts where."""
        if self._inserts:
            yield from self._inserted(scope)
            _, rest = after(self._body, "conflict")
            while rest:
                _, rest = after(rest, "set")
                if rest:
                    excluded = Source.of(self._relation, "excluded")
                    yield from self._set(rest[1:], Scope(scope, [self.source(), excluded]))
                    rest = rest[1:]
        elif after(self._body, "set")[1]:
            body = after(self._body, "set")[1][1:]
            yield from self._set(body, Scope(scope, [self.source()]))

    def _inserted(self, scope: Scope) -> Iterator[Fill]:
        columns = self._relation.columns
        names = [min(column.names) for column in columns if not column.hidden]
        if self._body and isinstance(self._body[0], Group):
            names = [path_at(part, 0)[0] for part in parted(self._body[0]) if path_at(part, 0)]
        body = after(self._body, "select", "values", "with")[1]
        end = next((at for at, each in enumerate(body) if is_word(each, "on") and _conflicts(body, at)), len(body))
        if not body or (len(body) > 1 and is_word(body[0], "values") and is_word(self._body[0], "default")):
            return
        given = self._maker.select(body[:end], scope).columns
        if len(given) != len(names):
            raise CannotTell
        yield from ((self._name, name, column.holds) for name, column in zip(names, given, strict=True) if column.holds)

    def _set(self, body: Nodes, scope: Scope) -> Iterator[Fill]:
        body, rest = after(body, "from", "where")
        if rest and is_word(rest[0], "from"):
            scope = Scope(scope, self._maker.sources(after(rest[1:], "where")[0], scope))
        for part in parted(body):
            to = next((at for at, node in enumerate(part) if is_sign(node, "=")), 0)
            if not to:
                raise CannotTell
            holds = self._maker.seen(part[to + 1 :], scope).holds
            if holds:
                yield from ((self._name, name, holds) for name in _set_names(part[0]))


def _conflicts(body: Nodes, at: int) -> bool:
    return at + 1 < len(body) and is_word(body[at + 1], "conflict")


def _set_names(node: Node) -> list[str]:
    if isinstance(node, Group):
        return [path_at(part, 0)[0] for part in parted(node) if path_at(part, 0)]
    return path_at([node], 0)
