"""The tree against the format: every fault once, in the user's words.

pydantic finds them; this file says them: what was found, what is wanted, and the nearest known key or choice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError

from orchestrator.core.diagnostic import Diagnostic, Place
from orchestrator.core.names import nearest
from orchestrator.manifest.anatomy import spec_at, subject_at, title_of, value_at
from orchestrator.manifest.faults import MOST_FAULTS, fault, printable
from orchestrator.manifest.marks import Marks, Path
from orchestrator.manifest.nearby import LONGEST, other_name, suggestion
from orchestrator.manifest.planned import NOT_IN_THIS_VERSION
from orchestrator.manifest.spec.fields import BUILT_IN, FLAG, LIST, MAP, NUMBER, PLUGIN_KIND, TEXT, Spec
from orchestrator.manifest.spec.manifest import Manifest
from orchestrator.manifest.spec.server import GONE, ServerOptions
from orchestrator.ports.installed import Family, near_installed

SECRET_KEYS: Final = frozenset(("api_key", "password", "secret"))
"""Keys that take only a reference to a secret; what stands there is never shown."""

Said = tuple[str, str, str, str | None]
"""Code, message, label and cure (``None``: the code's own)."""

_TAGS: Final = frozenset((MAP, TEXT, NUMBER, FLAG, LIST, BUILT_IN, PLUGIN_KIND))
_WANTED: Final = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
}
_SHAPES: Final = {MAP: "a map", TEXT: "a text", NUMBER: "a number", LIST: "a list", FLAG: "true or false"}
_FORMS: Final = (
    ("plugin:", "plugin:NAME, with the name that the package gives its kind"),
    ("env:", "a reference to a secret: env:NAME, file:PATH or keyring:NAME"),
    ("https?", "an address like http://127.0.0.1:8080"),
    (":[A-Za-z_]", "module:function, like tools:make_quote"),
    (r"\.[A-Za-z0-9_-]+$", "tool.function, like tickets.create"),
    ("._:/@+-", "an alias: letters, digits and . _ : / @ + -, such as phi-4-mini"),
    ("A-Za-z0-9", "a name: letters, digits and . _ -, beginning and ending with a letter or digit"),
)


@dataclass(frozen=True, slots=True)
class Misfit:
    """One value that does not fit the format: its path, what pydantic calls it, and what to tell."""

    path: Path
    kind: str
    diagnostic: Diagnostic


def check_structure(tree: Any, marks: Marks) -> tuple[Manifest | None, list[Misfit]]:
    """The manifest, or everything that does not fit the format."""
    try:
        return Manifest.model_validate(tree), []
    except ValidationError as error:
        found = error.errors(include_url=False)
    misfits = _without_echoes([_one(one, tree, marks) for one in found[:MOST_FAULTS]])
    if len(found) > MOST_FAULTS:
        more = fault("ORC100", f"{len(found) - MOST_FAULTS:,} more values do not fit the format", None)
        misfits.append(Misfit((), "more", more))
    return None, misfits


def _without_echoes(misfits: list[Misfit]) -> list[Misfit]:
    """A mistyped key is not told a second time as the missing one."""
    meant = {(one.path[:-1], known) for one in misfits if one.kind == "extra_forbidden" for known in _meant(one.path)}
    return [one for one in misfits if one.kind != "missing" or (one.path[:-1], one.path[-1]) not in meant]


def _meant(path: Path) -> list[str]:
    spec = spec_at(path[:-1])
    word = str(path[-1])
    return nearest(word, spec.model_fields, 1) if spec and len(word) <= LONGEST else []


def _path(error: Mapping[str, Any]) -> tuple[Path, bool]:
    """The path in the tree, and whether the fault is in the key itself."""
    loc = list(error["loc"])
    in_key = loc[-1:] == ["[key]"]
    if in_key:
        loc.pop()
    last = loc[-1:]
    return (
        *(step for step in loc[:-1] if step not in _TAGS),
        *(s for s in last if in_key or not _is_tag(error, s)),
    ), in_key


def _is_tag(error: Mapping[str, Any], step: Any) -> bool:
    return step in _TAGS and error["type"] != "extra_forbidden"


def _one(error: Mapping[str, Any], tree: Any, marks: Marks) -> Misfit:
    path, in_key = _path(error)
    kind = str(error["type"])
    say = _secret if path and path[-1] in SECRET_KEYS else _SAYING.get(kind, _unforeseen)
    code, message, label, cure = say(error, path)
    place = marks.key(path) if in_key or kind == "extra_forbidden" else marks.value(path)
    if kind == "missing":
        place = _where_missing(path, marks)
    return Misfit(
        path, kind, replace(fault(code, message, place, label, cure), subject=printable(subject_at(tree, path)))
    )


def _where_missing(path: Path, marks: Marks) -> Place:
    """A part without a key points at its own beginning."""
    mark = marks.root
    for step in path[:-1]:
        mark = mark.child(step) or mark
    return mark.value_place() if mark.key is None else mark.key_place()


def _unknown_key(_error: Mapping[str, Any], path: Path) -> Said:
    key = str(path[-1])
    spec = spec_at(path[:-1])
    planned = NOT_IN_THIS_VERSION.get(spec.__name__, {}) if spec else {}
    if key in planned:
        return "ORC138", f'"{key}" is not in this version: {planned[key]}', "", None
    if spec is None:
        return "ORC130", f'unknown key "{key}"', "", None
    if spec is ServerOptions and key in GONE:
        return "ORC311", f"no server takes {key} any more", "", GONE[key]
    label = f"no key of {title_of(spec)}"
    return "ORC130", f'unknown key "{key}"', label, suggestion(key, spec.model_fields) or _known_keys(spec.model_fields)


MOST_KEYS: Final = 12
"""Keys that are told where none is near."""


def _known_keys(known: Collection[str]) -> str:
    """The keys of a part, the first of very many; those that matter most stand first in the models."""
    told = ", ".join(list(known)[:MOST_KEYS])
    more = f" and {len(known) - MOST_KEYS} more (orchestrator schema tells all)" if len(known) > MOST_KEYS else ""
    return f"there are {told}{more}; keys that begin with x- are free"


def _missing(_error: Mapping[str, Any], path: Path) -> Said:
    spec = spec_at(path[:-1])
    whose = title_of(spec) if spec else "this part"
    return "ORC131", f'{whose} needs the key "{path[-1]}"', "", f"add {path[-1]}: …"


def _wrong_type(error: Mapping[str, Any], path: Path) -> Said:
    wanted = _WANTED[str(error["type"])]
    return _not_wanted(path, wanted, error["input"])


def _wrong_shape(error: Mapping[str, Any], path: Path) -> Said:
    wanted = [_SHAPES[tag] for tag in re.findall(r"\([a-z]+\)", str(error["ctx"].get("expected_tags", "")))]
    if not wanted:
        wanted = _shapes_at(path)
    return _not_wanted(path, " or ".join(wanted) or "another shape", error["input"])


def _shapes_at(path: Path) -> list[str]:
    last = next((step for step in reversed(path) if isinstance(step, str)), "")
    return ["a text", "a list"] if last in ("model", "specialized_for") else ["a text", "a map"]


def _not_wanted(path: Path, wanted: str, found: Any) -> Said:
    cure = None
    if wanted == "a text" and isinstance(found, (int, float)):
        cure = f'put it in quotes: "{str(found).lower() if isinstance(found, bool) else found}"'
    elif wanted == "a list" and isinstance(found, (str, dict)):
        cure = "write it as a list: [ … ], or one item a line after -"
    elif wanted == "a map":
        cure = _as_map(path, found)
    elif wanted == "true or false":
        cure = "write true or false, without quotes"
    elif wanted == "a whole number" and isinstance(found, float):
        cure = "write a number without a fraction"
    elif isinstance(found, str) and "number" in wanted:
        cure = "write the number without quotes" if re.fullmatch(r"[-+]?[0-9.]+", found) else "write a number"
    return "ORC132", f"{_named(path)} must be {wanted}, found {describe(found)}", "", cure


def _as_map(path: Path, found: Any) -> str | None:
    """For a number the first key of the part that takes it; else all its keys."""
    spec = spec_at(path)
    if spec is None or not spec.model_fields:
        return None
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        key = next((key for key in spec.model_fields if _takes(spec, key, found)), "")
        if key:
            return f"write {{{key}: {found}}}, if that is meant; {_known_keys(spec.model_fields)}"
    return f"write a map; {_known_keys(spec.model_fields)}"


def _takes(spec: type[Spec], key: str, value: Any) -> bool:
    """Whether a part of this key alone is one."""
    try:
        spec.model_validate({key: value})
    except ValidationError:
        return False
    return True


def describe(value: Any) -> str:
    """What was found, short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the text "{value if len(value) <= 40 else value[:37] + "..."}"'
    return "a map" if isinstance(value, dict) else "a list"


def _named(path: Path) -> str:
    if isinstance(path[-1], int):
        return f'item {path[-1] + 1} of "{next((s for s in reversed(path) if isinstance(s, str)), "")}"'
    return f'"{path[-1]}"'


def _choice(error: Mapping[str, Any], path: Path) -> Said:
    expected = str(error["ctx"]["expected"])
    choices = re.findall(r"'([^']*)'", expected)
    found = error["input"]
    if path[-1] == "apiVersion":
        return "ORC152", f"{describe(found)} is no version of the format that this program reads", "", None
    near = (other_name(found, choices) or _near(found, choices, path)) if isinstance(found, str) else ""
    cure = near or f"one of {', '.join(choices)}"
    return "ORC133", f"{_named(path)} cannot be {describe(found)}", "", cure


_FAMILIES: Final[Mapping[Any, Family]] = {
    "use": "tool",
    "provider": "provider",
    "model_provider": "provider",
    "strategy": "strategy",
}


def _near(found: str, choices: list[str], path: Path) -> str:
    family = _FAMILIES.get(path[-1])
    return suggestion(found, choices) or (near_installed(family, found) if family and len(found) <= LONGEST else "")


_RANGES: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
    "string_too_short": ("min_length", "at least {} characters long"),
    "string_too_long": ("max_length", "at most {} characters long"),
}


def _range(error: Mapping[str, Any], path: Path) -> Said:
    key, text = _RANGES[str(error["type"])]
    limit = error["ctx"][key]
    shown = int(limit) if isinstance(limit, float) and limit.is_integer() else limit
    found = error["input"]
    length = f", found {len(found):,}" if isinstance(found, str) else f", found {found}"
    said = text.format(f"{shown:,}" if isinstance(found, str) else shown)
    if said == "at least 1 characters long":
        return "ORC134", f"{_named(path)} may not be empty", "", "give it a value, or remove the key"
    return "ORC134", f"{_named(path)} must be {said}{length}", "", None


def _pattern(error: Mapping[str, Any], path: Path) -> Said:
    pattern = str(error["ctx"]["pattern"])
    form = next((form for part, form in _FORMS if part in pattern), "another form")
    if error["loc"][-1] == "[key]":
        return "ORC135", f'the key "{path[-1]}" is no name', "", f"write {form}"
    return "ORC135", f"{_named(path)} cannot be {describe(error['input'])}", "", f"write {form}"


def _secret(_error: Mapping[str, Any], path: Path) -> Said:
    return "ORC230", f"{_named(path)} holds something else than a reference to a secret", "", None


def _value(error: Mapping[str, Any], path: Path) -> Said:
    reason = str(error["ctx"]["error"])
    what = re.search(r"is no (\w+)", reason)
    _, _, cure = reason.partition("; ")
    wanted = f"a {what[1]}" if what else "a quantity"
    return "ORC136", f"{_named(path)} must be {wanted}, found {describe(error['input'])}", "", cure or None


def _address(error: Mapping[str, Any], path: Path) -> Said:
    fault = error["ctx"]["fault"]
    return (
        "ORC135",
        f"{_named(path)} cannot be {describe(error['input'])}: {fault}",
        "",
        "write an address like http://127.0.0.1:8080",
    )


def _unforeseen(error: Mapping[str, Any], path: Path) -> Said:
    return "ORC135", f"{_named(path) if path else 'the manifest'}: {error['msg']}", "", None


_SAYING: Final[Mapping[str, Callable[[Mapping[str, Any], Path], Said]]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "union_tag_invalid": _wrong_shape,
    "union_tag_not_found": _wrong_shape,
    "literal_error": _choice,
    "string_pattern_mismatch": _pattern,
    "value_error": _value,
    "address": _address,
    **dict.fromkeys(_WANTED, _wrong_type),
    **dict.fromkeys(_RANGES, _range),
}


_LOAD_BEARING: Final = frozenset(
    (
        "agents",
        "models",
        "tools",
        "nodes",
        "knowledge",
        "name",
        "alias",
        "id",
        "use",
        "python",
        "type",
        "role",
        "deployment",
    )
)
"""Keys that other parts lean on: without them, names would look unknown that are not."""


def without(tree: Any, misfits: Sequence[Misfit]) -> Any | None:
    """A copy of the tree without the values that do not fit, or ``None`` where that would make new faults."""
    copy = _copied(tree)
    for misfit in misfits:
        path = misfit.path
        around = value_at(copy, path[:-1])
        if misfit.kind == "missing" or not path or not isinstance(around, dict):
            return None
        if misfit.diagnostic.code == "ORC138" or _LOAD_BEARING & {path[-1], *_meant(path)}:
            return None
        around.pop(path[-1], None)
    return copy


def _copied(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copied(value) for key, value in tree.items()}
    return [_copied(item) for item in tree] if isinstance(tree, list) else tree
