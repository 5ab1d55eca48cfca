"""The nearest known name, also among very many and for very long words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Final

from orchestrator.core.names import did_you_mean

MANY: Final = 300
"""From this many names only those of like length and beginning or end are compared: comparing costs tens of microseconds."""
OTHER_NAMES: Final[Mapping[str, str]] = {
    "ovms": "openvino",
    "openvino-model-server": "openvino",
    "llama.cpp": "llama-cpp",
    "llama-server": "llama-cpp",
    "mlx-lm": "mlx",
    "onnxruntime-genai": "onnx",
    "transformers": "openai-compatible",
    "sglang": "openai-compatible",
    "openrouter": "openai-compatible",
}
"""What people call the servers of a provider that is not spelled at all like it."""
LONGEST: Final = 130
"""Characters of a word that may be a mistyped name."""


def suggestion(word: str, known: Collection[str]) -> str | None:
    """``did you mean "billing"?``, or ``None`` where nothing is near."""
    if len(word) > LONGEST:
        return None
    return did_you_mean(word, likely(word, known)) or None


def other_name(word: str, known: Collection[str]) -> str:
    """The same for what goes by another name here; empty where nothing does."""
    meant = OTHER_NAMES.get(word.casefold().replace("_", "-").replace(" ", "-"), "")
    return f'did you mean "{meant}"?' if meant in known else ""


def likely(word: str, known: Collection[str]) -> Iterable[str]:
    """The names that are worth comparing."""
    if len(known) <= MANY:
        return known
    first, last = word[:2].casefold(), word[-2:].casefold()
    alike = (name for name in known if abs(len(name) - len(word)) <= 2)
    return islice((name for name in alike if name[:2].casefold() == first or name[-2:].casefold() == last), MANY)
