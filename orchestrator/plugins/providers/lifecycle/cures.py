"""What helps when a server could not load or pull a model, by the words that it says. Pure."""

from __future__ import annotations

import re
from typing import Final

from orchestrator.core.errors import ModelError

_CURES: Final = (
    (
        re.compile(
            r"no space left|disk (is )?full|(not enough|insufficient) (free )?(disk )?space|disk quota", re.IGNORECASE
        ),
        "free disk space where the server keeps its models, then pull again: what had come is kept",
    ),
    (
        re.compile(r"digest mismatch|checksum|sha-?256 (mismatch|does not)", re.IGNORECASE),
        "pull it again: the broken file is fetched anew",
    ),
    (
        re.compile(
            r"system memory|out of memory|insufficient system resources|memory .{0,40}(allocate|available)",
            re.IGNORECASE,
        ),
        "free memory: unload another model (`orchestrator models list` shows them), or take a smaller build or context",
    ),
    (re.compile(r"requires a newer version|newer version of", re.IGNORECASE), "update the server"),
    (re.compile(r"manifest: file does not exist|model manifest.{0,40}not exist", re.IGNORECASE), "is the name right?"),
)


def with_cure(error: ModelError) -> ModelError:
    """The same error, with a cure where it has none and its words are known."""
    if not error.cure:
        error.cure = next((cure for words, cure in _CURES if words.search(error.message)), "")
    return error
