"""``POST /v1/systemone``: a server chooses one of several names in one step, with a probability for each, and writes no text.

vLLM 0.32 and the server of transformers 5.23 have it, for some models; whether one has it is found out by asking once. Their
``confidence`` is not the same: vLLM gives the name's share of all that the model could have said, transformers how far it is above
chance.
"""

from __future__ import annotations

import json
import math
from typing import Final

from orchestrator.core.errors import BrokenReply
from orchestrator.core.message import Message, Usage
from orchestrator.plugins.providers.line.answer import Errand
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.line.place import address
from orchestrator.plugins.providers.reply import read_json
from orchestrator.ports.provider import ChatCall, ChatReply, Choice, TokenProbability

KIND: Final = "systemone"
NOT_HERE: Final = frozenset((400, 404, 405, 422, 500, 501))
"""What servers answer that have no such path, or not for this model: then it is a call like any other."""
_QUESTION: Final = "choice"


class Decisions:
    """Asks servers that may have it, and remembers those that have not."""

    def __init__(self, line: HttpLine) -> None:
        self._line = line
        self._without: set[tuple[str, str]] = set()

    async def ask(self, call: ChatCall) -> ChatReply | None:
        """The choice as a reply whose only token is the name; ``None`` where the server must be asked in words. Raises a
        ``ModelError`` where it is busy or away."""
        target, choice = call.target, call.choice
        place = (target.api_base, target.model)
        if choice is None or place in self._without:
            return None
        errand = Errand(
            address(target.api_base, "systemone"), call.timeout, target.api_key, target.zone, call.request_id
        )
        answer = await self._line.post(errand, _body(call, choice))
        if answer.status in NOT_HERE:
            self._without.add(place)
            return None
        if answer.status != 200:
            raise answer.failure()
        try:
            return decided(answer.body, choice)
        except BrokenReply:  # a server that answers every path alike, or knows the path otherwise
            self._without.add(place)
            return None


def _body(call: ChatCall, choice: Choice) -> bytes:
    question = {"type": "choice", "instructions": choice.instructions, "criteria": dict(choice.criteria)}
    body = {"model": call.target.model, "state": choice.state, "questions": {_QUESTION: question}}
    return json.dumps(body, ensure_ascii=False).encode()


def decided(body: bytes, choice: Choice) -> ChatReply:
    """Read an answer. Raises ``BrokenReply`` for one that chooses none of the names."""
    value = read_json(body)
    try:
        answer, spent = value["answers"][_QUESTION], value.get("usage") or {}
        name, sure = answer["choice"], float(answer["confidence"])
        model = value.get("model")
        usage = (
            Usage(int(spent["input_tokens"]), int(spent["output_tokens"]), 1)
            if spent
            else Usage(0, 0, 1, estimated=True)
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenReply(f"the answer holds no choice: {body[:80]!r}") from error
    if not isinstance(name, str) or name not in choice.criteria or not 0 <= sure <= 1:
        raise BrokenReply(f"it chose {name!r} with {sure:g}, which was not to choose")
    token = TokenProbability(name, math.log(sure) if sure else -math.inf)
    said = Message("assistant", json.dumps({choice.key: name}, ensure_ascii=False))
    return ChatReply(said, "stop", usage, model if isinstance(model, str) else "", (token,), KIND)
