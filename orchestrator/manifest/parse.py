"""One YAML text to a plain tree and its marks, from the parser's events, so that what is hostile is refused as it comes.

Refused: anchors and aliases, tags, merge keys, duplicate keys, keys that are no text, several documents, deep or huge trees,
numbers that are too long or not finite. Keys that begin with ``x-`` are taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from orchestrator.core.diagnostic import Diagnostic, Place
from orchestrator.manifest.faults import MOST_FAULTS, Refused, fault, refused
from orchestrator.manifest.marks import Mark, Span
from orchestrator.manifest.scalar import NumberRefused, resolve_scalar
from orchestrator.manifest.secret_keys import NAMES, stands_in_clear
from orchestrator.manifest.secrets import InClear
from orchestrator.manifest.spec.free import FREE_MAPS, NAMED, OPAQUE
from orchestrator.manifest.yaml_fault import explain_yaml_error
from orchestrator.manifest.yaml_reader import Loader

DEEPEST: Final = 20
"""Maps and lists inside each other."""
MOST_VALUES: Final = 1_000_000
"""Keys and values of one file."""
LONGEST_LINE: Final = 1_000_000
"""Characters of one line."""

_IGNORED: Final = "ignored"
_CLOSED: Final = "closed"
_SEPARATORS: Final = ("\n", ",", "- ", "[", "{", ": ")


@dataclass(frozen=True, slots=True)
class Written:
    """A text that holds a ``$``: where it is kept, so that it can be replaced in place. ``plain``: it was not quoted."""

    container: Any
    step: str | int
    mark: Mark
    plain: bool


@dataclass(slots=True)
class Parsed:
    """The tree of one file. ``dollars`` are its texts with a ``$``, ``diagnostics`` what did not stop the reading, ``in_clear`` the
    secrets under their keys (``x-…`` too); ``nulls`` says whether any value is empty."""

    tree: Any
    mark: Mark
    dollars: list[Written] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    in_clear: list[InClear] = field(default_factory=list)
    nulls: bool = False


def parse(file: str, text: str) -> Parsed:
    """Read one YAML text; ``file`` is its name in places. Raises ``Refused`` with one diagnostic where reading must stop."""
    _check_size(file, text)
    reader = _Reader(file)
    parser = None
    try:
        parser = Loader(text)
        while True:
            event = parser.get_event()
            handle = reader.handlers.get(type(event))
            if handle is not None:
                handle(event)
            elif type(event) is yaml.StreamEndEvent:
                break
    except (yaml.YAMLError, UnicodeError) as error:
        raise Refused(explain_yaml_error(file, text, error)) from error
    except Refused as error:
        raise Refused(error.diagnostic, reader.diagnostics) from error
    finally:
        if parser is not None:
            parser.dispose()
    return reader.finish()


_UNSEEN_BREAKS: Final = {"\x85": "next line", "\u2028": "line separator", "\u2029": "paragraph separator"}
"""A line break to a reader of YAML 1.1, none to one of 1.2."""


def _check_size(file: str, text: str) -> None:
    if text.startswith("\ufeff"):
        raise refused("ORC106", "a byte-order mark", Place(file, 1, 1))
    for mark, name in _UNSEEN_BREAKS.items():
        if mark in text:
            before = text[: text.index(mark)].split("\n")
            place = Place(file, len(before), len(before[-1]) + 1)
            cure = "take it out; where a text needs it, write it as an escape in double quotes"
            raise Refused(
                fault("ORC106", f"the character U+{ord(mark):04X} ({name}), which no editor shows", place, cure=cure)
            )
    if len(text) <= LONGEST_LINE:
        return
    # Every value needs one of these before it: counting them costs milliseconds, parsing a million values seconds.
    if sum(text.count(mark) for mark in _SEPARATORS) > MOST_VALUES:
        raise refused("ORC117", f"the file holds more than {MOST_VALUES:,} lines and values", Place(file, 1, 1))
    lengths = list(map(len, text.split("\n")))
    if max(lengths) > LONGEST_LINE:
        number = next(number for number, length in enumerate(lengths, 1) if length > LONGEST_LINE)
        raise refused("ORC106", f"line {number} is longer than {LONGEST_LINE:,} characters", Place(file, number, 1))


class _Frame:
    """A map or list that is still open. ``mode`` says what its keys may be; ``key`` waits for its value."""

    __slots__ = ("container", "key", "key_span", "mark", "mode", "step")

    def __init__(self, container: Any, mark: Mark, mode: str) -> None:
        self.container = container
        self.mark = mark
        self.mode = mode
        self.key: str | None = None
        self.key_span: Span | None = None
        self.step = _CLOSED


class _Reader:
    """Builds the tree from events. ``frames`` is the way down to the open map or list."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.result: Parsed | None = None
        self.frames: list[_Frame] = []
        self.values = 0
        self.nulls = False
        self.dollars: list[Written] = []
        self.in_clear: list[InClear] = []
        self.diagnostics: list[Diagnostic] = []
        self.handlers: Mapping[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self.scalar,
            yaml.MappingStartEvent: self.open,
            yaml.SequenceStartEvent: self.open,
            yaml.MappingEndEvent: self.close,
            yaml.SequenceEndEvent: self.close,
            yaml.AliasEvent: self.alias,
            yaml.DocumentStartEvent: self.document,
        }

    def finish(self) -> Parsed:
        """The result, once all events are read; an empty text gives ``None``."""
        result = self.result or Parsed(None, Mark(self.file, (1, 1, 1), None))
        result.dollars, result.diagnostics, result.nulls = self.dollars, self.diagnostics, self.nulls
        result.in_clear = self.in_clear
        return result

    def scalar(self, event: Any) -> None:
        start, end = event.start_mark, event.end_mark
        length = end.column - start.column if end.line == start.line else 1
        span = (start.line + 1, start.column + 1, length or 1)
        if event.anchor is not None or event.tag is not None:
            self._refuse_property(event, span)
        text = event.value
        frame = self.frames[-1] if self.frames else None
        if frame is not None and frame.key is None and type(frame.container) is dict:
            self._key(frame, text, span)
            return
        plain = not event.style
        mark = Mark(self.file, span, frame.key_span if frame else None)
        value = self._resolve(text, mark) if plain else text
        self.nulls = self.nulls or value is None
        if frame is not None and "$" in text and frame.step is not _IGNORED:
            step = len(frame.container) if frame.key is None else frame.key
            self.dollars.append(Written(frame.container, step, mark, plain))
        if frame is not None and frame.key in NAMES and frame.mode is not NAMED and stands_in_clear(value):
            self.in_clear.append((mark.value_place(), frame.key, text))
        self._add(value, mark)

    def open(self, event: Any) -> None:
        start = event.start_mark
        span = (start.line + 1, start.column + 1, 1)
        if event.anchor is not None or event.tag is not None:
            self._refuse_property(event, span)
        if len(self.frames) >= DEEPEST:
            raise refused("ORC116", f"more than {DEEPEST} maps and lists inside each other", Place(self.file, *span))
        frame = self.frames[-1] if self.frames else None
        container: Any = {} if type(event) is yaml.MappingStartEvent else []
        if frame is not None and frame.key is None and type(frame.container) is dict:
            raise refused("ORC120", "a key must be a text", Place(self.file, *span), "not a map or list")
        mark = Mark(self.file, span, frame.key_span if frame else None)
        mark.children = {} if type(container) is dict else []
        mode = frame.step if frame else _CLOSED
        self._add(container, mark)
        opened = _Frame(container, mark, mode)
        opened.step = mode if type(container) is list or mode is OPAQUE or mode is _IGNORED else _CLOSED
        self.frames.append(opened)

    def close(self, _event: yaml.Event) -> None:
        self.frames.pop()

    def alias(self, event: yaml.AliasEvent) -> None:
        raise refused("ORC112", f'alias "*{event.anchor}"', self._place(event))

    def document(self, event: yaml.DocumentStartEvent) -> None:
        if self.result is not None:
            raise refused("ORC115", "a second document begins", self._place(event))

    def _refuse_property(self, event: Any, span: Span) -> None:
        place = Place(self.file, *span)
        if event.anchor is not None:
            raise refused("ORC112", f'anchor "&{event.anchor}"', place)
        tag = event.tag.replace("tag:yaml.org,2002:", "!!", 1)
        raise refused("ORC113", f'tag "{tag}"', place)

    def _resolve(self, text: str, mark: Mark) -> Any:
        try:
            return resolve_scalar(text)
        except NumberRefused as error:
            shown = text if len(text) <= 40 else text[:37] + "..."
            self._fault("ORC118", f"{shown} is refused: {error}", mark.value_place())
            return 0

    def _key(self, frame: _Frame, text: str, span: Span) -> None:
        self._count(span)
        frame.key, frame.key_span = text, span
        mode = frame.mode
        if text in frame.container or (text == "<<" and mode is _CLOSED):
            self._refuse_key(frame, text, span)
            frame.step = _IGNORED
        elif "${" in text and mode is not OPAQUE and mode is not _IGNORED:
            self._fault("ORC142", f'a variable in the key "{text}"', Place(self.file, *span))
            frame.step = _IGNORED
        elif mode is _CLOSED:
            frame.step = _IGNORED if text.startswith("x-") else FREE_MAPS.get(text, _CLOSED)
        elif mode is NAMED:
            frame.step = _CLOSED
        else:
            frame.step = mode

    def _refuse_key(self, frame: _Frame, text: str, span: Span) -> None:
        place = Place(self.file, *span)
        if text == "<<":
            raise refused("ORC119", "a merge key", place)
        first = (frame.mark.child(text) or frame.mark).key_place()
        self._fault("ORC114", f'the key "{text}" stands twice in one map', place, f"first on line {first.line}")

    def _add(self, value: Any, mark: Mark) -> None:
        self._count((mark.line, mark.column, mark.length))
        if not self.frames:
            self.result = Parsed(value, mark)
            return
        frame = self.frames[-1]
        children: Any = frame.mark.children
        if frame.key is None:
            frame.container.append(value)
            children.append(mark)
            return
        if frame.step is not _IGNORED:
            frame.container[frame.key] = value
            children[frame.key] = mark
        frame.key = None

    def _count(self, span: Span) -> None:
        self.values += 1
        if self.values > MOST_VALUES:
            raise refused("ORC117", f"more than {MOST_VALUES:,} keys and values", Place(self.file, *span))

    def _fault(self, code: str, message: str, place: Place, label: str = "") -> None:
        if len(self.diagnostics) >= MOST_FAULTS:
            raise refused("ORC100", f"more than {MOST_FAULTS} faults: the rest of the file is not read", place)
        self.diagnostics.append(refused(code, message, place, label).diagnostic)

    def _place(self, event: Any) -> Place:
        start, end = event.start_mark, event.end_mark
        length = end.column - start.column if end.line == start.line else 1
        return Place(self.file, start.line + 1, start.column + 1, length or 1)
