"""Setting one key of a map in a YAML text, with everything else left as it is written: comments, order, quotes, line ends. Pure.

A text that is JSON stays JSON: other programs may read it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import yaml

from orchestrator.manifest.yaml_reader import compose

Value = str | Sequence[str] | Mapping[str, str]
"""A plain scalar as it is written, or a list or map of them."""

_BLOCK_SCALARS: Final = ("|", ">")


class NotEditable(ValueError):
    """The text is written in a way that this cannot change; the message says which."""


class KeyPlace(NamedTuple):
    """Where a key of the map stands: line and column, 1-based."""

    line: int
    column: int


def set_key(text: str, near: KeyPlace, key: str, value: Value, after: Sequence[str]) -> str:
    """``text`` with ``key: value`` in the map that holds a key at ``near``.

    A key that is there keeps its place and gets the new value. A new one is put behind the last of the keys ``after`` that the
    map has, else behind its first. Raises ``NotEditable``.
    """
    around = _map_at(text, near)
    for name, node in around.value:
        if name.value == key:
            return _replaced(text, node, value, _Written.of(text))
    anchors = [pair for pair in around.value if pair[0].value in after] or around.value[:1]
    name, node = anchors[-1]
    end = _end(node)
    if around.flow_style:
        written = _Written.of(text)
        between = _between(text, int(name.start_mark.index)) if written.as_json else " "
        return f"{text[:end]},{between}{written.pair(key, value)}{text[end:]}"
    return _line_after(text, end, " " * name.start_mark.column + _YAML.pair(key, value))


def _map_at(text: str, near: KeyPlace) -> yaml.MappingNode:
    try:
        root = compose(text)
    except yaml.YAMLError as error:
        raise NotEditable("the text cannot be read by itself") from error
    waiting: list[yaml.Node] = [root] if root is not None else []
    for node in waiting:
        if isinstance(node, yaml.MappingNode):
            for name, inner in node.value:
                if (name.start_mark.line + 1, name.start_mark.column + 1) == near:
                    return node
                waiting.append(inner)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
    raise NotEditable(f"no key stands in line {near.line}, column {near.column}")


def _end(node: yaml.Node) -> int:
    """Where the value ends: of a block map or list where its last part does, before the comments behind it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, yaml.MappingNode) else last)
    if isinstance(node, yaml.ScalarNode) and node.style in _BLOCK_SCALARS:
        raise NotEditable(f"the text in line {node.start_mark.line + 1} runs over lines")
    return int(node.end_mark.index)


def _between(text: str, key: int) -> str:
    """What stands before a key of JSON: a line end and spaces where it begins its line. (In a flow map of YAML a comment may stand
    behind a value; so there a new key goes on in the same line.)"""
    begin = _line_begin(text, key)
    return f"{_ending(text, begin)}{text[begin:key]}" if not text[begin:key].strip() else " "


def _replaced(text: str, node: yaml.Node, value: Value, written: _Written) -> str:
    begin, end = int(node.start_mark.index), _end(node)
    if "${" in text[begin:end]:
        raise NotEditable(f"line {node.start_mark.line + 1} takes its value from a variable")
    if begin == end:
        return f"{text[:begin].rstrip(' ')} {written.flow(value)}{text[end:]}"
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and not isinstance(value, str | Mapping):
        return _block_list(text, node, value)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        raise NotEditable(f"line {node.start_mark.line + 1} begins a map or list that runs over lines")
    return text[:begin] + written.flow(value) + text[end:]


def _block_list(text: str, node: yaml.SequenceNode, value: Sequence[str]) -> str:
    """Each item keeps the comments on its own line and on the lines above it."""
    if not all(isinstance(item, yaml.ScalarNode) for item in node.value):
        raise NotEditable(f"line {node.start_mark.line + 1} begins a list of more than names")
    begin = _line_begin(text, int(node.start_mark.index))
    indent = " " * node.start_mark.column
    written, at = {}, begin
    for item in node.value:
        end = _line_end(text, int(item.end_mark.index))
        written[item.value] = text[at:end]
        at = end
    ending = _ending(text, begin)
    lines = [written.get(name, f"{indent}- {name}{ending}") for name in value]
    whole = [line if line.endswith("\n") else line + ending for line in lines]
    return text[:begin] + "".join(whole) + text[at:]


def _line_after(text: str, at: int, line: str) -> str:
    end, ending = _line_end(text, at), _ending(text, at)
    before = text[:end] if text[:end].endswith("\n") else text[:end] + ending
    return before + line + ending + text[end:]


def _line_begin(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    """Behind the line break."""
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _ending(text: str, at: int) -> str:
    """The line break of the line, or of the text where it has none."""
    end = _line_end(text, at)
    windows = text[:end].endswith("\r\n") or (not text[:end].endswith("\n") and "\r\n" in text)
    return "\r\n" if windows else "\n"


@dataclass(frozen=True, slots=True)
class _Written:
    """How a new part of a text is written."""

    as_json: bool

    @classmethod
    def of(cls, text: str) -> _Written:
        """As the text is."""
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return _YAML
        return cls(as_json=True)

    def flow(self, value: Value) -> str:
        """A value, on one line."""
        if isinstance(value, str):
            return json.dumps(value, ensure_ascii=False) if self.as_json else value
        if isinstance(value, Mapping):
            return f"{{{', '.join(self.pair(key, each) for key, each in value.items())}}}"
        return f"[{', '.join(self.flow(each) for each in value)}]"

    def pair(self, key: str, value: Value) -> str:
        """A key with its value."""
        return f"{self.flow(key)}: {self.flow(value)}"


_YAML: Final = _Written(as_json=False)
