"""Whether a server is at work, as it tells itself: llama-server by its slots, vLLM by its counters.

What it tells is read until it changes. Neither is asked of a model, so that nothing waits in the server's line.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

from orchestrator.core.errors import ModelError
from orchestrator.plugins.providers.addresses import root_of
from orchestrator.plugins.providers.line.answer import Answer, Errand
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.line.place import address
from orchestrator.plugins.providers.makes.make import objects
from orchestrator.plugins.providers.reply import read_json
from orchestrator.ports.provider import Target

PAUSE: Final = 1.0
"""Seconds between two readings, where there is time."""
READINGS: Final = 8
SLOW: Final = 1.0
"""Seconds after which an answer was held up by work."""
_HEAVY: Final = frozenset(("params", "prompt"))
_COUNTERS: Final = re.compile(
    r"^vllm:(?:prompt_tokens_total|generation_tokens_total|iteration_tokens_total_sum)\b.*\s(\S+)$", re.MULTILINE
)
_QUEUES: Final = re.compile(r"^vllm:num_requests_(?:running|waiting)\b.*\s(\S+)$", re.MULTILINE)

Reading = Any
"""Equal to another where nothing has moved; ``None`` where the server does not tell, or has nothing to do."""


class SlotsTold:
    """llama-server's way, on top of a provider with a ``_line``. It answers between two steps of its engine: where that took long
    it has just made one."""

    _line: HttpLine

    async def at_work(self, target: Target, within: float) -> bool | None:
        """See :class:`orchestrator.ports.provider.Watched`."""
        path = f"/slots?model={quote(target.model, safe='')}&autoload=false"
        return await _moves(_asking(self._line, target, path), _slots, within, slow_is_work=True)


class CountersTold:
    """vLLM's way. Its counters are told by another process than its engine, so that only their change means something."""

    _line: HttpLine

    async def at_work(self, target: Target, within: float) -> bool | None:
        """See :class:`orchestrator.ports.provider.Watched`."""
        return await _moves(_asking(self._line, target, "/metrics"), _counters, within)


Ask = Callable[[float], Awaitable[Answer]]
"""Ask once, for so many seconds."""


def _asking(line: HttpLine, target: Target, path: str) -> Ask:
    place = address(root_of(target.api_base), path)

    def ask(timeout: float) -> Awaitable[Answer]:
        return line.get(Errand(place, timeout, target.api_key, target.zone, once=True))

    return ask


async def _moves(
    ask: Ask, read: Callable[[Answer], Reading], within: float, *, slow_is_work: bool = False
) -> bool | None:
    now = asyncio.get_running_loop().time
    end, before = now() + within, None
    while (left := end - (began := now())) > 0:
        try:
            answer = await ask(left)
        except ModelError:
            return False
        reading = read(answer) if answer.status == 200 else None
        if reading is None:
            return None
        if before not in (None, reading) or (slow_is_work and now() - began >= SLOW):
            return True
        before = reading
        await asyncio.sleep(min(PAUSE, within / READINGS))
    return False


def _slots(answer: Answer) -> Reading:
    try:
        slots = objects(read_json(answer.body))
    except ModelError:
        return None
    busy = [{name: told for name, told in slot.items() if name not in _HEAVY} for slot in slots if _busy(slot)]
    return busy or None


def _busy(slot: dict[str, Any]) -> bool:
    return slot.get("is_processing") is True


def _counters(answer: Answer) -> Reading:
    text = answer.body.decode("utf-8", "replace")
    told = _COUNTERS.findall(text)
    idle = all(_number(count) == 0 for count in _QUEUES.findall(text))
    return tuple(told) if told and not idle else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
