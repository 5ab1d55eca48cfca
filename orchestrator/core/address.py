"""Typed names of the parts of a deployment, such as ``agent.billing`` or ``model.phi-4-mini``."""

from __future__ import annotations

import re
from typing import Final, Literal

AddressKind = Literal["agent", "router", "model", "server", "tool", "knowledge", "node", "deployment", "endpoint"]

NAME_PATTERN: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
"""1-63 letters, digits, ``.``, ``_``, ``-``; begins and ends with a letter or digit."""
_NAME: Final = re.compile(NAME_PATTERN, re.ASCII)


class Address(str):
    """A typed name, ``<kind>.<name>``. It is a ``str``, so that it can be a key and be written as JSON.

    The kind ends at the first dot; the name may hold dots (``model.qwen2.5-0.5b``).
    """

    __slots__ = ()

    @classmethod
    def of(cls, kind: AddressKind, name: str) -> Address:
        """Join a kind and a name."""
        return cls(f"{kind}.{name}")

    @property
    def kind(self) -> str:
        """The part before the first dot."""
        return self.partition(".")[0]

    @property
    def name(self) -> str:
        """The part after the first dot."""
        return self.partition(".")[2]


def is_name(text: str) -> bool:
    """Whether ``text`` may name an agent, model, tool, node or deployment: see ``NAME_PATTERN``."""
    return _NAME.fullmatch(text) is not None
