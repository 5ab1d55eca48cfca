"""How servers tell the tokens of a prompt: llama-server those of a text that its template makes, vLLM those of messages. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.testing.asked import Asked
from orchestrator.testing.endpoint import tokens_of

COUNTING: Final = ("/apply-template", "/tokenize")


def counted(how: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What is answered at a ``path`` of ``COUNTING``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` for what cannot be
    read."""
    if how == "count":
        tokens = tokens_of(Asked.from_body(body).prompt_characters)
        return {"count": tokens, "max_model_len": 4096, "tokens": [0] * tokens}
    if path == "/apply-template":
        return {"prompt": "".join(str(message["content"]) for message in body["messages"])}
    return {"tokens": [0] * tokens_of(len(str(body["content"])))}
