"""A call that a person refused, as the rest of its run knows it: nobody is asked for it again there. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from orchestrator.core.record import record


@record
class Denial:
    """``digest`` is of :func:`digest_of_wish`; ``arguments`` is how they are told, ``by`` and ``words`` who refused it, and why."""

    function: str
    digest: str
    arguments: str = ""
    by: str = ""
    words: str = ""

    def told(self) -> str:
        """In a sentence."""
        reason = f": {self.words}" if self.words else ""
        return f"{self.by or 'a person'} refused {self.function}({self.arguments}){reason}"

    def as_json(self) -> dict[str, str]:
        """A plain form."""
        plain = {"function": self.function, "digest": self.digest, "arguments": self.arguments}
        return {**plain, "by": self.by, "words": self.words}


def digest_of_wish(function: str, arguments: Mapping[str, Any]) -> str:
    """The SHA-256 of a call, whoever makes it: agents of one run may want the same. 900.0 is 900, as in JSON Schema."""
    text = json.dumps([function, _plain(dict(arguments))], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def denial_of(function: str, arguments: Mapping[str, Any], by: str, words: str) -> Denial:
    """That a person refused this call."""
    told = json.dumps(dict(arguments), ensure_ascii=False)
    return Denial(function, digest_of_wish(function, arguments), told, by, words)
