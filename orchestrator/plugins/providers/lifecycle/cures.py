"""What helps when a server could not load or pull a model, by the words that it says. Pure."""

from __future__ import annotations

import re
from typing import Final

from orchestrator.core.errors import ModelError, ModelNotFound, ServerFailed

_OFFLINE: Final = (
    r"dial tcp|no such host|network is unreachable|i/o timeout|connection refused|tls handshake|ENOTFOUND|ECONNREFUSED|"
    r"could not resolve|name resolution"
)
_CURES: Final = (
    (_OFFLINE, "is the network of the server there? what had come is kept; pull again to go on"),
    (
        r"no space left|disk (is )?full|(not enough|insufficient) (free )?(disk )?space|disk quota",
        "free disk space where the server keeps its models, then pull again: what had come is kept",
    ),
    (r"digest mismatch|checksum|sha-?256 (mismatch|does not)", "pull it again: the broken file is fetched anew"),
    (
        r"system memory|out of memory|insufficient system resources|memory .{0,40}(allocate|available)",
        "free memory: unload another model (`orchestrator models list` shows them), or take a smaller build or context",
    ),
    (r"requires a newer version|newer version of", "update the server"),
    (
        r"model manifest.{0,40}not exist",
        "is the name right? https://ollama.com/library lists what there is",
    ),
)


def with_cure(error: ModelError) -> ModelError:
    """The same error, with a cure where it has none and its words are known; what sounds like a model that there is not, but
    speaks of the network (``pull model manifest: … no such host``), is the server's trouble."""
    if isinstance(error, ModelNotFound) and re.search(_OFFLINE, error.message, re.IGNORECASE):
        error = ServerFailed(error.message, status=error.status)
    if not error.cure:
        fitting = (cure for words, cure in _CURES if re.search(words, error.message, re.IGNORECASE))
        error.cure = next(fitting, "")
    return error
