"""Keys and words after which a secret stands: what is told by them alone, whatever it looks like, and what by how it looks too."""

from __future__ import annotations

import re
from typing import Any, Final

NAMES: Final = frozenset(
    word
    for name in ("api_key", "api-key", "apikey", "apiKey", "password", "passwd", "passphrase")
    for word in (name, name.upper(), name.capitalize())
)
"""Keys of a YAML map, also of ``x-…``, under which no value may stand but a reference and what stands for one."""
REFERENCES: Final = ("env:", "file:", "keyring:")
_STAND_IN: Final = re.compile(r"\{[^{}]*\}|<[^<>]*>|\*+|\.\.\.|…", re.ASCII)

AFTER_A_NAME: Final = re.compile(
    r"(?<![\w-])(?:api[_-]?key|password|passwd|passphrase|pwd)[\"']?[ \t]{0,8}[:=][ \t]{0,8}[\"']?"
    r"(?P<value>[^\s\"'<>{}\[\](),;]{6,500})",
    re.IGNORECASE,
)
"""``password: VALUE`` in a comment or a text; see :func:`looks_chosen`."""
BEARER: Final = re.compile(r"(?<![\w-])bearer[ \t]{1,8}(?P<value>[A-Za-z0-9._~+/=-]{16,500})", re.IGNORECASE)
"""The value of an ``Authorization`` header (RFC 6750)."""
HINTS: Final = ("pwd", "bearer", "passphrase")
"""What a line must hold, beside ``key`` and ``passw``, to be looked at."""


def stands_in_clear(value: Any) -> bool:
    """Whether a value under one of ``NAMES`` is more than a reference, a variable, a template or what stands for a value."""
    if value is None or isinstance(value, bool):
        return False
    text = str(value).strip()
    is_made = "{{" in text or "${" in text or text.startswith(REFERENCES)
    return bool(text) and not is_made and not _STAND_IN.fullmatch(text)


def looks_chosen(value: str) -> bool:
    """Whether a word is no everyday one: letters and digits in one, and no reference, variable, address or path."""
    if value.startswith((*REFERENCES, "/", ".", "~", "$", "%")) or "://" in value:
        return False
    return any(char.isdigit() for char in value) and any(char.isalpha() for char in value)
