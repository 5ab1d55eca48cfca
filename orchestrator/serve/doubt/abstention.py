"""How a model says that it does not know: a word, or a property of its answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.serve.doubt.tokens import canonical

WORD: Final = "UNKNOWN"
FIELD: Final = "abstain"


def told_how(schema: Mapping[str, Any] | None, signs: Mapping[str, Any]) -> str:
    """For the prompt: how to say it."""
    word, field = signs.get("word", WORD), signs.get("field", FIELD)
    if schema is None:
        return f"If you do not know the answer, or cannot answer, answer only with the word {word}."
    if field in schema.get("properties", {}):
        return f'If you do not know the answer, set "{field}" to true.'
    return f"If you do not know the answer, put the word {word} in its place."


def abstains(text: str, value: Any, signs: Mapping[str, Any]) -> bool:
    """Whether an answer says so. An empty one knows nothing either."""
    word, field = canonical(signs.get("word", WORD)), signs.get("field", FIELD)
    if isinstance(value, Mapping):
        return value.get(field) is True or any(
            isinstance(one, str) and canonical(one) == word for one in value.values()
        )
    return not text.strip() or canonical(text) == word
