"""Names as other engines allow them."""

from __future__ import annotations

import re
from typing import Final

from orchestrator.core.digest import digest_of

LONGEST: Final = 52
"""Characters of a workload's name: Kubernetes puts eleven more into a label of each pod of a StatefulSet, which holds 63."""
_LABEL_PART: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_PREFIX: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.ASCII
)
_DNS: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def dns_label(text: str, longest: int = LONGEST) -> str:
    """``text`` as a DNS label that begins with a letter. What does not fit as it is ends with a few digits of its digest, so that
    no two names become one."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    plain = plain if plain[:1].isalpha() else f"n-{plain}".rstrip("-")
    if plain == text and len(plain) <= longest:
        return plain
    return f"{plain[: longest - 7].rstrip('-')}-{digest_of(text)[:6]}"


def is_dns_label(text: str) -> bool:
    """Whether it may name a namespace."""
    return bool(_DNS.fullmatch(text))


def is_label(key: str, value: str) -> bool:
    """Whether Kubernetes takes it as a label."""
    prefix, slash, name = key.rpartition("/")
    return (
        bool(_LABEL_PART.fullmatch(name))
        and (not slash or bool(_PREFIX.fullmatch(prefix)))
        and (not value or bool(_LABEL_PART.fullmatch(value)))
    )
