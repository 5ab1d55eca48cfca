"""The way out of the device: every call to an endpoint in the cloud goes through a :class:`Crossing`.

What would name a person is replaced by placeholders, what it may cost is set aside, and only then is anything sent; in the answer
the values are put back. Whatever goes wrong before that keeps it here: a ``Withheld``, and nothing was sent.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar, cast

from orchestrator.core.errors import (
    BadRequest,
    ModelError,
    Withheld,
)
from orchestrator.core.field_values import CannotRedact
from orchestrator.core.marks import Mark
from orchestrator.core.message import Message, ToolCall
from orchestrator.core.personal import Finder, Pseudonyms, finder_of
from orchestrator.core.placeholders import may_begin
from orchestrator.core.spending import NOTHING, USUAL_ANSWER, Spend, price_of
from orchestrator.deploy.deployment import Deployment
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Embedder, Provider, Target
from orchestrator.serve.bill import Bill, Books, Terms
from orchestrator.serve.leave import Leave
from orchestrator.serve.ledger import Account, Ledger, Purse
from orchestrator.serve.unheld import without_schema

T = TypeVar("T")
_Told = tuple[str, str, tuple[ToolCall, ...], tuple[Mark, ...]]

_OWN_ID: Final = re.compile(r"run_[0-9a-f]{16}")
_CURE: Final = "Take it out of the request, or let an agent on this device answer."
NO_PRICE: Final = "{0} has no price, and the budget limits money: no price is not a price of 0"
WRITE_PRICE: Final = "Write price: {{input: …, output: …}} for the model that {0} serves (money for a million tokens)."


@dataclass(frozen=True, slots=True)
class Rules:
    """What a deployment says of the way out. ``prices`` are by endpoint, for a million tokens."""

    finder: Finder | None
    account: Account
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    far: frozenset[str] = frozenset()
    """Its endpoints in the cloud."""
    asks: bool = False
    """Whether a person must allow it."""

    @classmethod
    def of(cls, deployment: Deployment) -> Rules:
        """Of a revision."""
        blueprint = deployment.blueprint
        prices: dict[str, Mapping[str, float]] = {}
        for element in blueprint.of_kind("model"):
            bound, price = deployment.bindings.get(element.spec["alias"]), element.spec.get("price")
            prices |= dict.fromkeys(bound.endpoints if bound and price else (), price or {})
        agents = {
            each.spec["name"]: each.spec["budget"] for each in blueprint.elements.values() if each.spec.get("budget")
        }
        return cls(
            finder_of(blueprint.policy.get("redaction", {})),
            Account(blueprint.name, blueprint.policy.get("budget", {}), agents),
            prices,
            frozenset(name for name, each in deployment.endpoints.items() if each.target.zone == "cloud"),
            asks=blueprint.policy.get("approval") == "always",
        )


class Passage:
    """One run's way out: its placeholders, its purse, and a person's leave where it goes on with one."""

    __slots__ = ("_messages", "leave", "ledger", "names", "purse", "rules")

    def __init__(self, rules: Rules, ledger: Ledger) -> None:
        self.rules = rules
        self.ledger = ledger
        self.purse = Purse()
        self.leave: Leave | None = None
        self.names = Pseudonyms(rules.finder) if rules.finder is not None else None
        self._messages: dict[_Told, tuple[int, Message]] = {}  # as they are sent, and how many values were known then

    @property
    def fields(self) -> tuple[str, ...]:
        """Named ones whose values must not leave."""
        return self.rules.finder.fields if self.rules.finder is not None else ()

    def learn(self, value: Any, origins: Mapping[str, str]) -> None:
        """What a function gave: what stands in it under a named field is hidden wherever else it stands. ``origins``: further names
        in it, each with the field that it holds."""
        if self.names is not None:
            self.names.learn(value, origins)

    def learn_value(self, value: str, field: str) -> None:
        """A value of a named field, however it was learned elsewhere."""
        if self.names is not None:
            self.names.known.learn(value, field)

    def known_in(self, text: str) -> Iterator[tuple[str, str]]:
        """The named fields whose values are known to stand in a text, each with the value."""
        if self.names is not None:
            for begin, end, field in self.names.known.found(text):
                yield field, " ".join(text[begin:end].split())

    def learn_marked(self, text: str, marks: Sequence[Mark]) -> None:
        """A text of which it is known where values of named fields stand."""
        if self.names is not None and marks:
            self.names.learn_marked(text, marks)

    def standing(self, text: str) -> tuple[Mark, ...]:
        """Where such values stand in a text that is kept, and may be sent by somebody who has not learned them."""
        return self.names.standing(text) if self.names is not None else ()

    def as_json(self) -> Mapping[str, Any]:
        """What it hides, and in which words; for a run that waits."""
        return self.names.as_json() if self.names is not None else {}

    def goes_on(self, kept: Mapping[str, Any]) -> None:
        """Hide what ``as_json`` gave, in the same words."""
        if self.names is not None:
            self.names.goes_on(kept)

    def fit_to_send(self, call: ChatCall, agent: str) -> ChatCall:
        """The call without what must not leave. Raises ``Withheld``."""
        limited = self.rules.account.limited(agent)
        return replace(
            call,
            messages=self.as_sent(call.messages),
            max_tokens=call.max_tokens or (USUAL_ANSWER if limited else None),
            stop=tuple(map(self.hidden_text, call.stop)),
            request_id=call.request_id if _OWN_ID.fullmatch(call.request_id) else "",
        )

    def as_sent(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """Messages without what must not leave. Raises ``Withheld``."""
        return self._settled(lambda: tuple(map(self.hidden, messages)))

    def _settled(self, hide: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        """Once more where a value of a named field was learned meanwhile: it may stand in a text before it."""
        while True:
            known = self._known()
            hidden = hide()
            if self._known() == known:
                return hidden

    def _known(self) -> int:
        return self.names.known.count if self.names is not None else 0

    def hidden(self, message: Message) -> Message:
        """A message as it is sent. Raises ``Withheld``."""
        names = self.names
        if names is None:
            return message
        key = (message.role, message.content, message.tool_calls, message.marks)
        kept, known = self._messages.get(key), names.known.count
        if kept is None or kept[0] != known or kept[1].tool_call_id != message.tool_call_id:
            calls = tuple(
                ToolCall(each.id, each.name, self.kept(names.hide_json, each.arguments)) for each in message.tool_calls
            )
            content = self._hidden_content(message)
            kept = (known, Message(message.role, content, calls, message.tool_call_id))
            self._messages[key] = kept
        return kept[1]

    def _hidden_content(self, message: Message) -> str:
        names = self.names
        if names is None or not message.marks:
            return self.hidden_text(message.content)
        return self.kept(lambda text: names.hide(text, message.marks), message.content)

    def hidden_texts(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        """Texts that leave together. Raises ``Withheld``."""
        return self._settled(lambda: tuple(map(self.hidden_text, texts)))

    def hidden_text(self, text: str) -> str:
        """A text as it is sent. Raises ``Withheld``."""
        if self.names is None:
            return text
        is_json = text.lstrip()[:1] in ("{", "[")
        return self.kept(self.names.hide_json if is_json else self.names.hide, text)

    def kept(self, hide: Callable[[str], str], text: str) -> str:
        """Closed where anything fails: what could not be looked at is not sent."""
        try:
            return hide(text)
        except CannotRedact as error:
            raise Withheld(f"it stays on this device: {error}", cure=_CURE) from error
        except Exception as error:
            raise Withheld(
                f"redaction failed: {type(error).__name__}", cure="Report this; nothing was sent."
            ) from error

    def estimate(self, call: ChatCall, endpoint: str) -> Spend:
        """The most that it may cost, where its answer is as long as it may be."""
        prompt, answer = self.ledger.tokens_of(endpoint, size_of(call)), call.max_tokens or USUAL_ANSWER
        return Spend(prompt + answer, price_of(self.rules.prices.get(endpoint, {}), prompt, answer), 1)

    def unpriced(self, agent: str, endpoint: str) -> bool:
        """Whether money is limited, and nobody knows what it would cost."""
        return endpoint not in self.rules.prices and self.rules.account.limited(agent, "money")


def size_of(call: ChatCall) -> int:
    """Bytes of all that its server may read: of its schema, and of that in words, where it makes no grammar of it."""
    sent = _bytes_of(call) + sum(len(str(tool.as_json())) for tool in call.tools)
    if call.schema is None:
        return sent
    return sent + max(len(str(call.schema)), _bytes_of(without_schema(call)) - _bytes_of(call))


def _bytes_of(call: ChatCall) -> int:
    return sum([len(message.encoded()) for message in call.messages])


class Customs:
    """What a call carries with it: by whose passage its agent's calls go out. ``spent`` adds up what they have cost; ``priced``:
    whether that has a price, ``None`` where nothing went out."""

    __slots__ = ("agent", "closed", "passage", "priced", "spent")

    def __init__(self, passage: Passage, agent: str, *, closed: bool = False) -> None:
        self.passage = passage
        self.agent = agent
        self.closed = closed
        """What it would carry is restricted."""
        self.spent = NOTHING
        self.priced: bool | None = None

    def pay(self, amount: Spend) -> None:
        """A call of its agent has cost so much."""
        self.spent = self.spent + amount

    def is_far(self, endpoint: EndpointSpec) -> bool:
        """Whether calls there go by the way through."""
        return endpoint.target.zone == "cloud" or endpoint.id in self.passage.rules.far

    def way(self, endpoint: EndpointSpec) -> Provider:
        """The provider itself where the endpoint is near, else the way through."""
        return cast(Provider, Crossing(self, endpoint)) if self.is_far(endpoint) else endpoint.provider


class Crossing:
    """Calls to one endpoint in the cloud. It has of a ``Provider`` what carries requests."""

    def __init__(self, customs: Customs, endpoint: EndpointSpec) -> None:
        self._customs = customs
        self._passage = customs.passage
        self._endpoint = endpoint
        self.kind = endpoint.provider.kind

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer. Raises ``Withheld`` where nothing may be sent."""
        sent = self._fit(call)
        bill = await self._pay(self._passage.estimate(sent, self._endpoint.id), size_of(sent))
        try:
            reply = await self._endpoint.provider.chat(sent)
        except BaseException as error:
            await bill.cut_off(error)
            raise
        await bill.settle(reply.usage)
        return self._restored(reply, call)

    async def stream(self, call: ChatCall) -> AsyncGenerator[Delta, None]:
        """The answer in pieces, of which none ends within a placeholder."""
        sent = self._fit(call)
        bill = await self._pay(self._passage.estimate(sent, self._endpoint.id), size_of(sent))
        waiting = before = ""
        try:
            async with aclosing(cast(AsyncGenerator[Delta, None], self._endpoint.provider.stream(sent))) as deltas:
                async for delta in deltas:
                    text = waiting + delta.text
                    cut = len(text) if delta.reply is not None else may_begin(text)
                    came, waiting = text[:cut], text[cut:]
                    text, before = self._put_back(came, call, before), came or before
                    if delta.reply is not None:
                        await bill.settle(delta.reply.usage)
                        yield Delta(text, self._restored(delta.reply, call))
                    else:
                        yield Delta(text, None, delta.sign or ("" if text else "writing"))
            await bill.settle(None)  # it ended without a reply
        except BaseException as error:
            if isinstance(error, ModelError):
                error.partial = self._put_back(error.partial, call)
            await bill.cut_off(error)
            raise

    async def embed(self, target: Target, texts: tuple[str, ...], timeout: float) -> tuple[tuple[float, ...], ...]:
        """One vector a text."""
        if not hasattr(self._endpoint.provider, "embed"):
            raise BadRequest(f"{target.provider} makes no vectors")
        embedder = cast(Embedder, self._endpoint.provider)
        self._check_open()
        hidden = self._passage.hidden_texts(texts)
        prompt = self._passage.ledger.tokens_of(self._endpoint.id, sum(len(text.encode()) for text in hidden))
        cost = price_of(self._passage.rules.prices.get(self._endpoint.id, {}), prompt, 0)
        bill = await self._pay(Spend(prompt, cost, 1))
        try:
            vectors = await embedder.embed(target, hidden, timeout)
        except BaseException as error:
            await bill.cut_off(error)
            raise
        await bill.settle(None)
        return vectors

    async def aclose(self) -> None:
        """The provider belongs to others."""

    def _fit(self, call: ChatCall) -> ChatCall:
        self._check_open()
        return self._passage.fit_to_send(call, self._customs.agent)

    def _check_open(self) -> None:
        if self._customs.closed:
            raise Withheld(f"{self._endpoint.id} is in the cloud, and this run is restricted")

    async def _pay(self, amount: Spend, size: int = 0) -> Bill:
        passage, name = self._passage, self._endpoint.id
        if passage.unpriced(self._customs.agent, name):
            raise Withheld(NO_PRICE.format(name), cure=WRITE_PRICE.format(name))
        made = await passage.ledger.reserve(passage.rules.account, passage.purse, self._customs.agent, amount)
        bill = Bill(
            Books(passage.ledger, passage.purse, self._customs.pay, passage.leave),
            made,
            Terms(name, size, passage.rules.prices.get(name, {})),
        )
        await bill.begin()
        self._customs.priced = self._customs.priced is not False and name in passage.rules.prices
        return bill

    def _put_back(self, text: str, call: ChatCall, after: str = "") -> str:
        names = self._passage.names
        return names.restore(text, in_json=call.schema is not None, after=after) if names is not None else text

    def _restored(self, reply: ChatReply, call: ChatCall) -> ChatReply:
        names = self._passage.names
        if names is None:
            return reply
        message = reply.message
        calls = tuple(
            ToolCall(each.id, each.name, names.restore(each.arguments, in_json=True)) for each in message.tool_calls
        )
        content = self._put_back(message.content, call)
        return replace(reply, message=Message(message.role, content, calls, message.tool_call_id))


class Closed:
    """Stands where nobody says what may be sent: nothing is."""

    kind = "closed"

    async def chat(self, call: ChatCall) -> ChatReply:
        """Raises ``Withheld``."""
        raise Withheld(f"{call.target.model} is in the cloud, and the call says not what may be sent there")

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """Raises ``Withheld``."""
        yield Delta(reply=await self.chat(call))
