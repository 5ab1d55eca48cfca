"""The words of an SQL statement as SQLite parts them, what stands in brackets as a group of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_WORDS: Final = re.compile(
    r"""(?P<space>[ \t\n\f\r]+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<blob>[xX]'[^']*')
    |(?P<text>'(?:[^']|'')*')
    |(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    |(?P<number>(?:[0-9]|\.[0-9])[0-9A-Za-z_.]*)
    |(?P<value>\?[0-9]*|[:@$\#][0-9A-Za-z_$\x80-\U0010ffff]+)
    |(?P<word>[A-Za-z_\x80-\U0010ffff][0-9A-Za-z_$\x80-\U0010ffff]*)
    |(?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
"""Its letters and spaces are not those of Unicode: each sign behind ASCII is a letter."""
_CLAUSES: Final = ("from", "where", "group", "having", "window", "order", "limit")


class CannotTell(Exception):
    """A statement that is not understood: what its columns are made of is not known."""


@dataclass(frozen=True, slots=True)
class Word:
    """``kind``: ``word``, ``name`` (in quotes), ``text``, ``number``, ``blob``, ``value`` or ``sign``. ``text``: without quotes,
    and in small letters where it may be a name."""

    kind: str
    text: str


class Group(tuple["Word | Group", ...]):
    """What stands in a pair of brackets."""

    __slots__ = ()


Node = Word | Group
Nodes = Sequence[Node]


def small(name: str) -> str:
    """SQLite folds the letters of ASCII alone."""
    return name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def words_of(sql: str) -> Nodes:
    """A statement, without what ends it. Raises ``CannotTell``."""
    opened: list[list[Node]] = [[]]
    for found in _WORDS.finditer(sql):
        kind, text = found.lastgroup or "", found[0]
        if kind == "space":
            continue
        if text == "(":
            opened.append([])
        elif text == ")":
            if len(opened) == 1:
                raise CannotTell
            closed = Group(opened.pop())
            opened[-1].append(closed)
        else:
            opened[-1].append(Word(kind, _plain(kind, text)))
    if len(opened) != 1:
        raise CannotTell
    while opened[0] and is_sign(opened[0][-1], ";"):
        opened[0].pop()
    return opened[0]


def _plain(kind: str, text: str) -> str:
    if kind in ("name", "text"):
        quote = text[-1]
        text = text[1:-1].replace(quote * 2, quote) if quote != "]" else text[1:-1]
    return small(text)


def is_word(node: Node | None, *texts: str) -> bool:
    """A word without quotes that is one of these."""
    return isinstance(node, Word) and node.kind == "word" and node.text in texts


def is_sign(node: Node | None, text: str) -> bool:
    """This sign."""
    return isinstance(node, Word) and node.kind == "sign" and node.text == text


def is_name(node: Node | None) -> bool:
    """What may be a name, also of a column."""
    return isinstance(node, Word) and node.kind in ("word", "name")


def is_quoted(node: Node | None) -> bool:
    """A name in quotes."""
    return isinstance(node, Word) and node.kind == "name"


def names_something(node: Node | None) -> bool:
    """The same in places where SQLite takes a text for a name too."""
    return isinstance(node, Word) and node.kind in ("word", "name", "text")


def is_select(nodes: Nodes) -> bool:
    """A statement within a statement. One word alone is none: a column may have the name ``with``."""
    return len(nodes) > 1 and is_word(nodes[0], "select", "values", "with")


def parted(nodes: Nodes, sign: str = ",") -> list[list[Node]]:
    """At each such sign that stands outside of brackets."""
    parts: list[list[Node]] = [[]]
    for node in nodes:
        if is_sign(node, sign):
            parts.append([])
        else:
            parts[-1].append(node)
    return parts


def after(nodes: Nodes, *words: str) -> tuple[Nodes, Nodes]:
    """What stands before the first of these words, and what begins with it."""
    at = next((at for at, node in enumerate(nodes) if is_word(node, *words)), len(nodes))
    return nodes[:at], nodes[at:]


def clauses_of(nodes: Nodes) -> dict[str, list[Node]]:
    """The clauses of one SELECT by the word that begins each; its columns under ``select``."""
    found: dict[str, list[Node]] = {"select": []}
    now = "select"
    for at, node in enumerate(nodes[1:], 1):
        if is_word(node, *_CLAUSES) and _begins(nodes, at):
            now = str(node.text) if isinstance(node, Word) else now
            found.setdefault(now, [])
        else:
            found[now].append(node)
    return found


def _begins(nodes: Nodes, at: int) -> bool:
    if is_word(nodes[at], "from"):
        return not (is_word(nodes[at - 1], "distinct") and at > 1 and is_word(nodes[at - 2], "is", "not"))
    if is_word(nodes[at], "window"):  # it may be the name of a column
        return is_word(nodes[min(at + 2, len(nodes) - 1)], "as")
    return True


def conditions_of(nodes: Nodes) -> Iterator[Nodes]:
    """What AND and OR part, also within brackets, without NOT."""
    part: list[Node] = []
    cases = betweens = 0
    for node in nodes:
        cases += is_word(node, "case") - (is_word(node, "end") and cases > 0)
        betweens += is_word(node, "between") and not cases
        if cases or not is_word(node, "and", "or") or (betweens and is_word(node, "and")):
            betweens -= bool(betweens and is_word(node, "and") and not cases)
            part.append(node)
        else:
            yield from _unwrapped(part)
            part, betweens = [], 0
    yield from _unwrapped(part)


def _unwrapped(part: Nodes) -> Iterator[Nodes]:
    while part and is_word(part[0], "not"):
        part = part[1:]
    if len(part) == 1 and isinstance(part[0], Group) and not is_select(part[0]) and len(parted(part[0])) == 1:
        yield from conditions_of(part[0])
    elif part:
        yield part


def path_at(nodes: Nodes, at: int) -> list[str]:
    """The names that full stops join there: ``table.column``."""
    path = []
    while at < len(nodes) and names_something(nodes[at]):
        node = nodes[at]
        path.append(node.text if isinstance(node, Word) else "")
        if at + 1 < len(nodes) and is_sign(nodes[at + 1], "."):
            at += 2
        else:
            break
    return path


def whole_path(nodes: Nodes) -> list[str]:
    """The same of nodes that are nothing else; empty where they are more than that."""
    path = path_at(nodes, 0) if nodes and is_name(nodes[0]) else []
    return path if path and len(nodes) == 2 * len(path) - 1 else []


def listed(node: Node) -> list[str]:
    """The names in brackets."""
    if not isinstance(node, Group):
        raise CannotTell
    return [path_at(part, 0)[0] for part in parted(node) if path_at(part, 0)]


def equal(nodes: Nodes) -> list[list[str]]:
    """The two columns, where a condition says that they are equal and nothing else."""
    sides = [side for side in parted(nodes, "=") if side]
    if len(sides) == 1:
        left, right = after(nodes, "is")
        sides = [list(left), list(right[1:])]
    paths = [whole_path(side) for side in sides]
    return paths if len(paths) == 2 and all(paths) else []


def member(nodes: Nodes) -> tuple[list[str], Group] | None:
    """A column, and the statement that gives what it must be one of."""
    group = nodes[-1]
    if len(nodes) < 3 or not isinstance(group, Group) or not is_select(group) or not is_word(nodes[-2], "in"):
        return None
    path = whole_path(nodes[: -3 if is_word(nodes[-3], "not") else -2])
    return (path, group) if path else None


def one_column(group: Group) -> bool:
    """How many values there are tells none of them."""
    return bool(whole_path(group[1:] if group and is_word(group[0], "distinct") else group))
