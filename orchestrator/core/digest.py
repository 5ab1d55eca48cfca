"""Stable digests of plain values: the same content has the same digest on every machine and in every process."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest_of(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of the canonical JSON of ``value`` (keys sorted, no spaces, UTF-8)."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
