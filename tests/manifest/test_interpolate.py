"""Variables: put into values, once, and never read as YAML again."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.manifest.interpolate import interpolate
from orchestrator.manifest.parse import parse

ENVIRONMENT = {
    "NAME": "shop",
    "PORT": "7411",
    "EMPTY": "",
    "EVIL": "x}\n  y: [1, 2]",
    "YES": "true",
    "DOLLAR": "${NAME}",
}


def put_in(text: str) -> tuple[Any, list[str], dict[str, str]]:
    """The value of ``k`` after the variables are in, the codes of what is wrong, and what was used."""
    parsed = parse("a.yaml", f"k: {text}\n")
    used: dict[str, str] = {}
    faults = interpolate(parsed, ENVIRONMENT, used)
    return parsed.tree["k"], [one.code for one in faults], used


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${NAME}", "shop"),
        ("the ${NAME} of ${NAME}", "the shop of shop"),
        ("${PORT}", 7411),
        ("'${PORT}'", "7411"),
        ("p${PORT}", "p7411"),
        ("${NOTHING:-8080}", 8080),
        ("${NOTHING:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}", ""),
        ("${YES}", True),
        ("'$${NAME} costs 5$'", "${NAME} costs 5$"),
        ("$NAME", "$NAME"),
        ("'^a$'", "^a$"),
        ("'${EVIL}'", "x}\n  y: [1, 2]"),
        ("${DOLLAR}", "${NAME}"),
        ("[a, '${NAME}']", ["a", "shop"]),
    ],
)
def test_variables_are_put_in(text: str, value: Any) -> None:
    """A plain value that is one variable is typed; everything else stays text."""
    found, codes, _ = put_in(text)
    assert (found, type(found), codes) == (value, type(value), [])


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("${NOTHING}", ["ORC140"]),
        ("'${A} and ${B}'", ["ORC140", "ORC140"]),
        ("'${NAME'", ["ORC141"]),
        ("'${}'", ["ORC141"]),
        ("'${1A}'", ["ORC141"]),
        ("'${NAME:default}'", ["ORC141"]),
        ("${LONG:-1234567890123456789}", ["ORC118"]),
    ],
)
def test_wrong_variables_are_told(text: str, codes: list[str]) -> None:
    """Each with a code; the text stays as it was."""
    value, found, _ = put_in(text)
    assert found == codes
    assert "ORC118" in found or "${" in str(value)


def test_what_was_taken_from_the_environment_is_remembered() -> None:
    """So that a deployment can be loaded again after a reboot, with the same values; defaults are not from there."""
    assert put_in("'${NAME} ${NOTHING:-x} ${EMPTY:-y}'")[2] == {"NAME": "shop"}
