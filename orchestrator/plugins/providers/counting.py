"""The tokens of a prompt, counted by the server that would read it: llama-server and vLLM tell. What these do not tell, as old
versions do not, is for others to estimate."""

from __future__ import annotations

import json
from typing import Any, Final

from orchestrator.core.errors import ModelError
from orchestrator.plugins.providers.addresses import root_of
from orchestrator.plugins.providers.body import BodyMaker
from orchestrator.plugins.providers.line.answer import Errand
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.line.place import address
from orchestrator.ports.provider import ChatCall

_LONGEST: Final = 10.0
"""Seconds that counting may take: it takes milliseconds, also while every slot is busy."""


class LlamaCount:
    """``Counter`` for llama-server: its template makes a text of the messages, and that is told in tokens."""

    _line: HttpLine
    _bodies: BodyMaker

    async def count(self, call: ChatCall) -> int | None:
        """See :class:`orchestrator.ports.provider.Counter`."""
        made = await _asked(self._line, call, "apply-template", self._bodies.chat(call, stream=False))
        if not isinstance(made.get("prompt"), str):
            return None
        text = {"model": call.target.model, "content": made["prompt"], "add_special": True, "parse_special": True}
        told = await _asked(self._line, call, "tokenize", json.dumps(text).encode())
        tokens = told.get("tokens")
        return len(tokens) if isinstance(tokens, list) else None


class VllmCount:
    """``Counter`` for vLLM."""

    _line: HttpLine
    _bodies: BodyMaker

    async def count(self, call: ChatCall) -> int | None:
        """See :class:`orchestrator.ports.provider.Counter`."""
        told = await _asked(self._line, call, "tokenize", self._bodies.chat(call, stream=False))
        counted = told.get("count")
        return counted if isinstance(counted, int) and not isinstance(counted, bool) else None


async def _asked(line: HttpLine, call: ChatCall, path: str, body: bytes) -> dict[str, Any]:
    """What the server says beside its OpenAI protocol; nothing where it says nothing: the call itself shows what is wrong."""
    target = call.target
    place = address(root_of(target.api_base), path)
    errand = Errand(place, min(call.timeout, _LONGEST), target.api_key, target.zone, call.request_id)
    try:
        answer = await line.post(errand, body)
        told = json.loads(answer.body) if answer.status == 200 else {}
    except (ModelError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
