"""A schema of which a server makes no grammar: there the answer is asked for in words, and that is remembered.

A server that holds answers to a JSON Schema makes a grammar of it first, and no make can do that of every schema (llama-server
refuses an array of 2,500 items, vLLM's libraries each leave out other words of the standard). What is refused so says nothing
about the server: it is asked once more without the schema, as one is that knows none. Whoever asked checks the answer in any case.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from orchestrator.core.errors import GrammarRefused
from orchestrator.core.message import Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Provider
from orchestrator.serve.clock import current_time
from orchestrator.serve.steps.window import Window, too_long

MOST: Final = 256
"""Refused schemas that are remembered, of all endpoints together."""
REMEMBERED: Final = 3600.0
"""Seconds after which a server is asked again whether it holds such an answer: another version may be there by then."""
LEAST: Final = 0.001
"""Seconds that a repeat is left at least: its deadline is held by who asked for it."""
Key = tuple[str, str, str, str]
Tell = Callable[[str], None]


def in_words(schema: Any) -> str:
    """What a model is told that is not, or not surely, held to the schema while it writes."""
    return f"Answer only with JSON that fits this JSON Schema: {json.dumps(schema)}"


def without_schema(call: ChatCall) -> ChatCall:
    """The call with its schema in the words of its instructions; pure. They may hold them already."""
    messages, demand = call.messages, in_words(call.schema)
    first = messages[0] if messages and messages[0].role == "system" else None
    if first is None:
        messages = (Message("system", demand), *messages)
    elif demand not in first.content:
        told = replace(first, content=f"{first.content}\n\n{demand}", _encoded=[])
        messages = (told, *messages[1:])
    return replace(call, schema=None, messages=messages)


def as_sent(call: ChatCall, unheld: str) -> ChatCall:
    """A call as its server got it, which did not hold the answer to its schema where it is told why (``unheld``)."""
    return without_schema(call) if unheld and call.schema is not None else call


class Refusals:
    """Which endpoints have refused which schemas, each with their words. One a loop; bounded, and the oldest are forgotten."""

    def __init__(self) -> None:
        self._known: dict[Key, tuple[str, float]] = {}  # the server's words, and until when they are believed

    def why(self, spec: EndpointSpec, schema: Mapping[str, Any]) -> str:
        """What the endpoint's server said of this schema; empty where it did not refuse it lately."""
        if not self._known:  # as it mostly is: nothing is reckoned then
            return ""
        key = _key(spec, schema)
        words, until = self._known.get(key, ("", 0.0))
        if words and until <= current_time():
            del self._known[key]
            return ""
        return words

    def note(self, spec: EndpointSpec, schema: Mapping[str, Any], words: str) -> None:
        """It refused the schema in these words."""
        self._known[_key(spec, schema)] = (words, current_time() + REMEMBERED)
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def forget(self, spec: EndpointSpec, schema: Mapping[str, Any]) -> None:
        """It was not the schema that it refused."""
        self._known.pop(_key(spec, schema), None)


def _key(spec: EndpointSpec, schema: Mapping[str, Any]) -> Key:
    """The same id may come to be another server's, or another model's."""
    digest = hashlib.sha256(json.dumps(schema, default=str).encode()).hexdigest()
    return spec.id, spec.target.api_base, spec.target.model, digest


class Unheld:
    """Stands before the ``carrier`` of calls to an endpoint that have a schema. Where its server refuses that, they go in words;
    ``tell`` gets the server's words for a call that does, and an empty text for one that does not. The words are a part of the
    prompt, which whoever made it has not counted: where it does not fit the ``window`` with them, nothing is sent, and
    ``ContextTooLong`` raised, as for any prompt that turns out too long late.

    Where the repeat is refused in the same way, it was not the schema (a chat template can be at fault too): then nothing is
    remembered, and that refusal is the call's end."""

    def __init__(self, carrier: Provider, spec: EndpointSpec, window: Window, refusals: Refusals, tell: Tell) -> None:
        self.carrier = carrier
        self.kind = carrier.kind
        self._spec = spec
        self._window = window
        self._refusals = refusals
        self._tell = tell

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer."""
        began, sent = current_time(), self._as_known(call)
        try:
            return await self.carrier.chat(sent)
        except GrammarRefused as refused:
            again = self._repeat(call, sent, refused, began)
            if again is None:
                raise
        try:
            return await self.carrier.chat(again)
        except GrammarRefused:
            self._take_back(call)
            raise

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer in pieces. Of one that has begun, nothing is repeated."""
        began, sent, begun = current_time(), self._as_known(call), False
        try:
            async with aclosing(self.carrier.stream(sent)) as pieces:  # type: ignore[type-var] # a generator, which closes
                async for delta in pieces:
                    begun = begun or bool(delta.text or delta.reply)
                    yield delta
            return
        except GrammarRefused as refused:
            again = None if begun else self._repeat(call, sent, refused, began)
            if again is None:
                raise
        try:
            async with aclosing(self.carrier.stream(again)) as pieces:  # type: ignore[type-var] # a generator, which closes
                async for delta in pieces:
                    yield delta
        except GrammarRefused:
            self._take_back(call)
            raise

    def _as_known(self, call: ChatCall) -> ChatCall:
        why = self._refusals.why(self._spec, call.schema) if call.schema is not None else ""
        self._tell("")
        return self._said(call, why) if why else call

    def _repeat(self, call: ChatCall, sent: ChatCall, refused: GrammarRefused, began: float) -> ChatCall | None:
        """The call in words, with the time that is left; ``None`` where it went in words already."""
        if call.schema is None:
            return None
        if sent.schema is None:
            self._take_back(call)
            return None
        self._refusals.note(self._spec, call.schema, refused.message)
        left = max(LEAST, call.timeout - (current_time() - began))
        return replace(self._said(call, refused.message), timeout=left)

    def _said(self, call: ChatCall, why: str) -> ChatCall:
        """The call in words, where it fits with them."""
        said = without_schema(call)
        long = too_long(said, self._window)
        if long is not None:
            self._tell("")
            long.message += (
                f": its JSON Schema has to be said in words there, for the server makes no grammar of it ({why})"
            )
            raise long
        self._tell(why)
        return said

    def _take_back(self, call: ChatCall) -> None:
        if call.schema is not None:
            self._refusals.forget(self._spec, call.schema)
        self._tell("")
