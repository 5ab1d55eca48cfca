"""What the YAML library could not read, in the user's words."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from orchestrator.core.diagnostic import Diagnostic, Place
from orchestrator.manifest.faults import fault

_SAYINGS: Final[tuple[tuple[str, str, str], ...]] = (
    # what the library says, what we say, the cure
    ("mapping values are not allowed", "a colon where no key may stand", 'put a text that holds ": " in quotes'),
    ("did not find expected key", "a key was expected here", "keys of one map begin in the same column"),
    (
        "did not find expected '-' indicator",
        "an item of the list was expected here",
        "items begin with - in the same column",
    ),
    ("did not find expected ',' or ']'", "a list in brackets is not closed", "add a comma or ]"),
    ("did not find expected ',' or '}'", "a map in braces is not closed", "add a comma or }"),
    ("found unexpected end of stream", "a quoted text is not closed", "add the closing quote"),
    ("could not find expected ':'", "a key without a colon", 'write "key: value"'),
    (
        "found unknown escape character",
        "an unknown escape in a quoted text",
        "write \\\\ for a backslash, or use single quotes",
    ),
    (
        "found character that cannot start any token",
        "a text may not begin with this character",
        "put the text in quotes",
    ),
    ("did not find expected <document start>", "text after the end of the manifest", "indent it, or remove it"),
    ("block sequence entries are not allowed", "an item of a list may not stand here", "put it on its own line"),
    ("did not find expected node content", "a value was expected here", "add the value"),
    (
        "did not find expected alphabetic",
        "a name was expected after & or *",
        "put a text that begins with & or * in quotes",
    ),
)
_IN_FLOW: Final = re.compile(r"[\[{,]")
_BARE_VARIABLE: Final = re.compile(r"(?<![\"'])\$\{")
_VARIABLE_CURE: Final = (
    "between braces or brackets a variable needs quotes; for a number, give the key a line of its own"
)


def explain_yaml_error(file: str, text: str, error: Exception) -> Diagnostic:
    """The diagnostic for an error of the library."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return _reader_fault(file, text, error)
    line, column = mark.line + 1, mark.column + 1
    lines = text.split("\n")
    if line > len(lines):
        line, column = len(lines), len(lines[-1]) + 1
    content = lines[line - 1]
    indent = content[: len(content) - len(content.lstrip(" \t"))]
    if "\t" in indent:
        return fault(
            "ORC111", "a tab in the indentation", Place(file, line, indent.index("\t") + 1, indent.count("\t"))
        )
    fault_found = _syntax_fault(error, Place(file, line, column))
    return replace(fault_found, cure=_VARIABLE_CURE) if _has_variable_in_flow(content) else fault_found


def _has_variable_in_flow(line: str) -> bool:
    """Whether a variable without quotes stands behind a brace, a bracket or a comma. In two steps: one pattern takes for ever."""
    begun = _IN_FLOW.search(line)
    return begun is not None and _BARE_VARIABLE.search(line, begun.end()) is not None


def _syntax_fault(error: Exception, place: Place) -> Diagnostic:
    problem = str(getattr(error, "problem", "") or "")
    begun = getattr(error, "context_mark", None)
    label = f"it began on line {begun.line + 1}" if begun is not None and begun.line + 1 < place.line else ""
    for said, ours, cure in _SAYINGS:
        if said in problem:
            return fault("ORC110", f"not valid YAML: {ours}", place, label, cure)
    return fault("ORC110", f"not valid YAML: {problem}", place, label)


def _reader_fault(file: str, text: str, error: Exception) -> Diagnostic:
    """A character that may not stand in YAML; the library gives its position in bytes, so it is looked for again."""
    for number, line in enumerate(text.split("\n"), 1):
        for column, char in enumerate(line, 1):
            if not _allowed(char):
                return fault(
                    "ORC106", f"the character U+{ord(char):04X} may not stand here", Place(file, number, column)
                )
    return fault("ORC110", f"not valid YAML: {error}", Place(file, 1, 1))


def _allowed(char: str) -> bool:
    code = ord(char)
    if code < 0xA0:
        return 0x20 <= code < 0x7F or char in "\t\r\x85"
    return not (0xD800 <= code <= 0xDFFF or code in (0xFEFF, 0xFFFE, 0xFFFF))
