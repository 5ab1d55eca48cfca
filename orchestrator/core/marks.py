"""Where the values of named fields stand in the text that was made of a plain value: a table, lines, or words of a tool's own.

The names are known in the value and may be gone in its text. So the value is written once more with signs around what stands under
a named field, by what wrote it first; where that is not known, each such value is looked for in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

Mark = tuple[int, int, str]
"""Where a value begins and ends, and its field."""

NO_ORIGINS: Final[Mapping[str, str]] = {}
_BEGINS: Final = "\ufdd0"
_NAMED: Final = "\ufdd1"
_ENDS: Final = "\ufdd2"
"""Signs that Unicode keeps free for such use: no text holds them that is meant for anybody."""
_CUT: Final = re.compile(r"\.\.\.|\u2026")
"""Where a text says that it leaves out the rest of a value."""
FEWEST_BEGUN: Final = 3
LONGEST_BEGUN: Final = 400
"""Letters of a value that was cut off."""
_SIGNED: Final = re.compile(f"{_BEGINS}([0-9]+){_NAMED}|{_ENDS}")


def marks_of(
    value: Any,
    text: str,
    fields: Sequence[str],
    show: Callable[[Any], str] | None,
    origins: Mapping[str, str] = NO_ORIGINS,
) -> tuple[Mark, ...]:
    """Where what stands under one of the fields is in the text that ``show`` makes of the value. JSON is left out: its names are
    still in it, right before their values. ``origins``: further names in the value, each with the field that stands under it; those
    tell nothing in JSON either."""
    if not fields or (not origins and _is_json(text)):
        return ()
    names, fields = (*fields, *origins), (*fields, *origins.values())
    if not any(_leaves(value, names)):
        return ()
    if show is not None:
        marked = _shown(_signed(value, names, -1), text, fields, show)
        if marked is not None:
            return marked
    return tuple(sorted((begin, end, fields[field]) for begin, end, field in _sought(value, text, names)))


def named_values(
    value: Any, fields: Sequence[str], origins: Mapping[str, str] = NO_ORIGINS
) -> Iterator[tuple[str, str]]:
    """Each text, number, true and false under one of the fields, at whatever depth, with its field. ``origins`` as above."""
    names, fields = (*fields, *origins), (*fields, *origins.values())
    return ((fields[field], _written(leaf)) for leaf, field in _leaves(value, names))


def clipped(marks: Sequence[Mark], end: int) -> tuple[Mark, ...]:
    """Those of a text that is cut off at this place."""
    return tuple((begin, min(until, end), field) for begin, until, field in marks if begin < end)


def marks_from(value: Any, text: str) -> tuple[Mark, ...]:
    """Of the plain form of a text's marks, lists. Raises ``ValueError`` where it is none: what must be hidden is not known then."""
    try:
        marks = tuple((int(begin), int(end), str(field)) for begin, end, field in value)
    except (TypeError, ValueError) as error:
        raise ValueError("has marks that are none") from error
    if not all(0 <= begin <= end <= len(text) and field for begin, end, field in marks):
        raise ValueError("has marks that are not in it")
    return tuple(each for each in marks if each[0] < each[1])


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _field(key: Any, fields: Sequence[str]) -> int:
    key = str(key).casefold()
    return next((at for at, each in enumerate(fields) if each.casefold() == key), -1)


def _leaves(value: Any, fields: Sequence[str], within: int = -1) -> Iterator[tuple[Any, int]]:
    """What stands under a field, keys within it too."""
    if isinstance(value, dict):
        for key, each in value.items():
            if within >= 0:
                yield key, within
            yield from _leaves(each, fields, within if within >= 0 else _field(key, fields))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each, fields, within)
    elif within >= 0 and value is not None and value != "":
        yield value, within


def _signed(value: Any, fields: Sequence[str], within: int) -> Any:
    """The same value with signs around each leaf that stands under a field."""
    if isinstance(value, dict):
        return {
            _around(key, within): _signed(each, fields, within if within >= 0 else _field(key, fields))
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_signed(each, fields, within) for each in value]
    return _around(value, within)


def _around(value: Any, field: int) -> Any:
    return value if field < 0 or value is None or value == "" else f"{_BEGINS}{field}{_NAMED}{value}{_ENDS}"


def _shown(signed: Any, text: str, fields: Sequence[str], show: Callable[[Any], str]) -> tuple[Mark, ...] | None:
    """``None`` where that does not give the text again."""
    try:
        written = show(signed)
    except Exception:  # noqa: BLE001 - the words of a tool, which may not expect such a value: it is looked for then
        return None
    marks: list[Mark] = []
    opened: list[tuple[int, str]] = []
    length = at = 0
    for sign in _SIGNED.finditer(written):
        length += sign.start() - at
        at = sign.end()
        if sign[1]:
            opened.append((length, fields[int(sign[1])]))
        elif opened:
            begin, field = opened.pop()
            marks.append((begin, length, field))
    return tuple(marks) if not opened and _SIGNED.sub("", written) == text else None


def _sought(value: Any, text: str, names: Sequence[str]) -> set[tuple[int, int, int]]:
    """Each value wherever it stands in the text as a whole, however short: which of them it is, nothing there tells. With the
    number of its name."""
    found: set[tuple[int, int, int]] = set()
    cuts = [cut.start() for cut in _CUT.finditer(text)]
    for leaf, field in _leaves(value, names):
        for written in {_written(leaf), str(leaf), json.dumps(leaf, ensure_ascii=False).strip('"')}:
            found.update((each.start(), each.end(), field) for each in whole(written).finditer(text))
            found.update((begin, end, field) for end in cuts if (begin := _begun(written, text, end)) < end)
    return found


def _begun(value: str, text: str, end: int) -> int:
    """Where the longest beginning of a value begins that ends there; the end itself where only a few letters do, or none."""
    if text[max(0, end - FEWEST_BEGUN) : end] not in value:
        return end
    for length in range(min(len(value) - 1, end, LONGEST_BEGUN), FEWEST_BEGUN - 1, -1):
        if text.startswith(value[:length], end - length):
            return end - length
    return end


def whole(value: str, behind: str = "", *, exact: bool = False) -> re.Pattern[str]:
    """Finds a value where no letter or digit touches it, in capitals or not unless ``exact``, however wide its spaces; with the
    signs ``behind`` it where they are there."""
    words = r"\s+".join(map(re.escape, value.split()))
    before, after = (
        touched if each.isalnum() else ""
        for touched, each in ((r"(?<![^\W_])", value.strip()[:1]), (r"(?![^\W_])", value.strip()[-1:]))
    )
    signs = rf"(?:\s*{re.escape(behind)})?" if behind else ""
    case = "" if exact else "(?i)"
    return re.compile(f"{case}{before}{words}{after}{signs}" if words else r"(?!)")


def _written(leaf: Any) -> str:
    return leaf if isinstance(leaf, str) else json.dumps(leaf, default=str)
