"""What every provider must do, as a suite that any test runner can collect.

Derive from :class:`ProviderConformance`, give a ``subject`` (with pytest: a fixture of that name), and every check runs::

    class TestMine(ProviderConformance):
        @pytest.fixture
        async def subject(self): ...

The checks that need a fault run against a simulated endpoint (``arm`` and ``log`` of the subject); a real server without
them passes those that need none.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio

from orchestrator.core.errors import ModelError, ModelNotFound, StaleConnection, Stalled, Unreachable
from orchestrator.core.message import FunctionSchema, Message
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Identity, Provider, Target
from orchestrator.testing.fault import FAULTS, FaultKind

ROUTE: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"route": {"enum": ["billing", "shipping"]}, "sure": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["route", "sure"],
    "additionalProperties": False,
}
WEATHER: Final = FunctionSchema(
    "weather",
    "The weather of a place",
    {"type": "object", "properties": {"place": {"enum": ["Oslo", "Rome"]}}, "required": ["place"]},
)
CLOCK: Final = FunctionSchema("clock", "The time", {"type": "object", "properties": {}})
_DEADLINE: Final = 10.0  # seconds until a condition that must come counts as missing


@dataclass(frozen=True)
class Subject:
    """A provider with an endpoint to try it on.

    ``echoes``: the endpoint answers with the user's own words. ``arm(fault)``: the next request is struck by it.
    ``log()``: the endpoint's own log, as :meth:`orchestrator.testing.endpoint.Record.as_json` has it.
    ``counts_streams``: the server counts the tokens of a stream.
    ``knows_reuse``: the provider can tell a kept connection from a fresh one. ``dead``: a target that nobody listens at.
    ``exempt``: faults that this provider need not understand; say why where you set it.
    """

    provider: Provider
    url: str
    target: Target
    echoes: bool = True
    tools: bool = True
    schema: bool = True
    counts_streams: bool = True
    arm: Callable[[str], Awaitable[None]] | None = None
    log: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]] | None = None
    knows_reuse: bool = True
    dead: Target | None = None
    exempt: tuple[str, ...] = ()

    def call(self, text: str = "one two three", **fields: Any) -> ChatCall:
        """A call to the endpoint."""
        fields.setdefault("timeout", 30.0)
        return ChatCall(self.target, (Message("user", text),), **fields)

    async def struck(self, fault: str) -> bool:
        """Arm a fault; false where this endpoint has none."""
        if self.arm is None:
            return False
        await self.arm(fault)
        return True

    async def streamed(self, call: ChatCall) -> list[Delta]:
        """All pieces of a streamed answer."""
        async with aclosing(self.provider.stream(call)) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
            return [delta async for delta in deltas]

    async def failure(self, call: ChatCall, stream: bool) -> ModelError | None:
        """The error that a call ends in."""
        try:
            if stream:
                await self.streamed(call)
            else:
                await self.provider.chat(call)
        except ModelError as error:
            return error
        return None


class NotConformant(AssertionError):
    """A provider does not do what the port asks for."""


def require(condition: bool, message: str) -> None:
    """Fail the check unless the condition holds."""
    if not condition:
        raise NotConformant(message)


class ProviderConformance:
    """The suite. Every method is one promise of the port."""

    async def test_it_identifies_its_own_server(self, subject: Subject) -> None:
        """An endpoint of this make is recognised, with an address for calls."""
        identity = await _identity(subject)
        require(bool(identity.api_base), "an identity needs an api_base")

    async def test_it_recognises_nobody_where_nobody_listens(self, subject: Subject) -> None:
        """identify gives None, and no error, where nothing answers."""
        if subject.dead is not None:
            found = await subject.provider.identify(subject.dead.api_base)
            require(found is None, f"{found} was recognised where nobody listens")

    async def test_it_lists_the_model(self, subject: Subject) -> None:
        """The target's model is among those that it lists."""
        models = await subject.provider.models(await _identity(subject), subject.target.api_key)
        require(subject.target.model in {model.id for model in models}, f"{subject.target.model} is not in {models}")

    async def test_it_answers_whole(self, subject: Subject) -> None:
        """A whole answer has its text, a finish reason and counts, as one model call."""
        reply = await subject.provider.chat(subject.call(max_tokens=64))
        _check_reply(reply, subject)

    async def test_it_answers_in_pieces(self, subject: Subject) -> None:
        """The pieces of a stream add up to the reply that its last one carries, and only that one carries it."""
        deltas = await subject.streamed(subject.call(max_tokens=64))
        replies = [delta.reply for delta in deltas if delta.reply is not None]
        require(len(replies) == 1 and deltas[-1].reply is replies[0], "exactly the last delta must carry the reply")
        text = "".join(delta.text for delta in deltas)
        require(text == replies[0].message.content, f"{text!r} is not {replies[0].message.content!r}")
        _check_reply(replies[0], subject)

    async def test_stream_and_whole_agree(self, subject: Subject) -> None:
        """The same question has the same answer both ways, with the same counts."""
        call = subject.call("tell me", seed=7, temperature=0.0, max_tokens=32)
        whole, pieces = await subject.provider.chat(call), await subject.streamed(call)
        last = pieces[-1].reply
        require(last is not None and whole.message == last.message, f"{whole.message} is not {last and last.message}")
        if subject.counts_streams:
            require(last is not None and whole.usage == last.usage, f"{whole.usage} is not {last and last.usage}")
        else:
            require(last is not None and last.usage.estimated, "counts that did not come must be marked as estimated")

    async def test_it_stops_at_max_tokens(self, subject: Subject) -> None:
        """An answer that is cut at max_tokens says so."""
        reply = await subject.provider.chat(subject.call("a b c d e f g h i j k l m n o p", max_tokens=2))
        require(reply.finish_reason == "length" or not subject.echoes, f"{reply.finish_reason} is not length")

    async def test_it_keeps_text_as_it_is(self, subject: Subject) -> None:
        """Letters of any script, quotes and line breaks come through both ways."""
        if not subject.echoes:
            return
        text = 'Grüße, "世界" 🎉\nnext line\\end \u2028 and on'
        reply = await subject.provider.chat(subject.call(text))
        require(reply.message.content == text, f"{reply.message.content!r} is not {text!r}")
        deltas = await subject.streamed(subject.call(text))
        require("".join(delta.text for delta in deltas) == text, "the streamed text differs")

    async def test_it_constrains_answers(self, subject: Subject) -> None:
        """An answer to a call with a schema is JSON of that shape."""
        if subject.schema:
            reply = await subject.provider.chat(subject.call("where to?", schema=ROUTE, max_tokens=200))
            value = json.loads(reply.message.content)
            require(value["route"] in ("billing", "shipping"), f"{value} does not fit the schema")

    async def test_it_calls_a_named_tool(self, subject: Subject) -> None:
        """A function named in tool_choice is called, whole and streamed, with arguments as JSON text."""
        if not subject.tools:
            return
        call = subject.call("the weather?", tools=(CLOCK, WEATHER), tool_choice="weather", max_tokens=200)
        whole, pieces = await subject.provider.chat(call), await subject.streamed(call)
        for reply in (whole, pieces[-1].reply):
            require(reply is not None, "a stream must end in a reply")
            calls = reply.message.tool_calls if reply else ()
            require([one.name for one in calls] == ["weather"], f"{calls} is no call of weather")
            require(isinstance(json.loads(calls[0].arguments), dict), f"{calls[0].arguments} is no JSON object")
            require(bool(calls[0].id), "a call needs an id")
            require(reply is not None and reply.finish_reason == "tool_calls", "calls end with tool_calls")

    async def test_it_carries_tool_results(self, subject: Subject) -> None:
        """A conversation with a call and its result can be continued."""
        if not subject.tools:
            return
        first = await subject.provider.chat(subject.call("the weather?", tools=(WEATHER,), tool_choice="weather"))
        asked = first.message.tool_calls[0]
        turns = (Message("user", "the weather?"), first.message, Message("tool", "rain", tool_call_id=asked.id))
        reply = await subject.provider.chat(replace(subject.call(tools=(WEATHER,), max_tokens=32), messages=turns))
        require("rain" in reply.message.content or not subject.echoes, f"{reply.message.content!r} has no rain")

    async def test_it_gives_log_probabilities(self, subject: Subject) -> None:
        """Where the server gives log-probabilities, there is one for each token, with alternatives."""
        reply = await subject.provider.chat(subject.call(top_logprobs=2, max_tokens=8))
        for token in reply.logprobs:
            require(token.logprob <= 0.0 and bool(token.top), f"{token} is no log-probability with alternatives")

    async def test_nobody_listening_is_unreachable(self, subject: Subject) -> None:
        """A call to an address where nobody listens ends in Unreachable, both ways."""
        if subject.dead is None:
            return
        for stream in (False, True):
            error = await subject.failure(replace(subject.call(), target=subject.dead), stream)
            require(isinstance(error, Unreachable), f"{error!r} is not Unreachable")

    async def test_an_unknown_model_is_told(self, subject: Subject) -> None:
        """A model that the server does not serve ends in ModelNotFound."""
        if subject.arm is not None:
            call = replace(subject.call(), target=replace(subject.target, model="nobody-has-this"))
            error = await subject.failure(call, stream=False)
            require(isinstance(error, ModelNotFound), f"{error!r} is not ModelNotFound")

    async def test_time_runs_out(self, subject: Subject) -> None:
        """A call does not outlive its time: a server that hangs ends in Stalled, with what had come."""
        for fault, stream in (("hang-before", False), ("hang-before", True), ("hang-mid", True)):
            if await subject.struck(fault):
                error = await subject.failure(subject.call(timeout=0.3), stream)
                require(isinstance(error, Stalled), f"{fault}: {error!r} is not Stalled")
                wanted = "one two" if fault == "hang-mid" else ""
                require(
                    error is not None and error.partial == wanted, f"{fault}: partial is {error and error.partial!r}"
                )

    async def test_every_fault_has_its_error(self, subject: Subject) -> None:
        """Every fault of the matrix becomes the error that the table names, whole and streamed; no fault spoils the next call."""
        if subject.arm is None:
            return
        wrong: list[str] = []
        for kind in FAULTS.values():
            for stream in (False, True):
                if kind.of_schemas and not subject.schema:
                    continue
                if kind.name not in ("refuse", "hang-before", "hang-mid", *subject.exempt):
                    wrong.extend(await _wrongs(subject, kind, stream))
        require(not wrong, "\n".join(wrong))

    async def test_a_broken_stream_tells_what_had_come(self, subject: Subject) -> None:
        """The error of a stream that breaks carries the text before the break."""
        for fault in ("drop-mid", "no-finish", "error-in-stream"):
            if await subject.struck(fault):
                error = await subject.failure(subject.call(), stream=True)
                require(error is not None and error.partial == "one two", f"{fault}: {error and error.partial!r}")

    async def test_a_wait_is_told(self, subject: Subject) -> None:
        """A 429 tells how long to wait, in whichever header the server says it."""
        for fault, least, most in (
            ("rate-limit:7s", 7, 7),
            ("rate-limit-date:30s", 25, 30),
            ("rate-limit-ms:250ms", 0.25, 0.25),
        ):
            if await subject.struck(fault):
                error = await subject.failure(subject.call(), stream=False)
                wait = error.retry_after if error else None
                require(wait is not None and least <= wait <= most, f"{fault}: retry_after is {wait}")

    async def test_cancelling_reaches_the_server(self, subject: Subject) -> None:
        """A call that is cancelled closes its connection: the server's own log has it as cancelled, soon."""
        for stream in (False, True):
            if not await subject.struck("hang-mid" if stream else "hang-before"):
                return
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(subject.failure, subject.call("cancel me"), stream)
                await _until(subject, "cancel me", ("",))
                tasks.cancel_scope.cancel()
            await _until(subject, "cancel me", ("cancelled",))

    async def test_leaving_a_stream_reaches_the_server(self, subject: Subject) -> None:
        """Closing a stream before its end closes its connection."""
        if not await subject.struck("hang-mid"):
            return
        async with aclosing(subject.provider.stream(subject.call("leave me now"))) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
            async for _ in deltas:
                break
        await _until(subject, "leave me now", ("cancelled",))

    async def test_many_calls_at_once(self, subject: Subject) -> None:
        """Fifty calls at once each get their own answer."""
        replies: dict[str, str] = {}

        async def ask(text: str) -> None:
            replies[text] = (await subject.provider.chat(subject.call(text, max_tokens=16))).message.content

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(ask, f"number {number}")
        require(len(replies) == 50, f"{len(replies)} answers to 50 calls")
        require(not subject.echoes or all(text == reply for text, reply in replies.items()), "answers were mixed up")


async def _identity(subject: Subject) -> Identity:
    identity = await subject.provider.identify(subject.url, subject.target.api_key)
    if identity is None:
        raise NotConformant(f"{subject.url} was not recognised")
    return identity


def _check_reply(reply: ChatReply, subject: Subject) -> None:
    require(reply.message.role == "assistant", f"an answer has the role assistant, not {reply.message.role}")
    require(reply.message.content == "one two three" or not subject.echoes, f"{reply.message.content!r} is no echo")
    require(reply.finish_reason in ("stop", "length"), f"{reply.finish_reason!r} is no reason to finish")
    require(reply.usage.model_calls == 1, f"an answer is one model call, not {reply.usage.model_calls}")
    require(reply.usage.prompt_tokens > 0, "the prompt has tokens")


async def _wrongs(subject: Subject, kind: FaultKind, stream: bool) -> list[str]:
    """What is wrong with how one fault is reported; the next call must be well in any case."""
    await subject.struck(f"{kind.name}:1ms" if kind.name == "loading" else kind.name)
    error = await subject.failure(subject.call(schema=ROUTE if kind.of_schemas else None), stream)
    expected = _expected(subject, kind)
    how = "streamed" if stream else "whole"
    found = [] if _fits(error, expected, stream) else [f"{kind.name}, {how}: {error!r} is not {expected}"]
    await anyio.sleep(0.002)  # longer than the server says that it loads
    after = await subject.failure(subject.call(), stream)
    return found if after is None else [*found, f"{kind.name}, {how}: the next call fails with {after!r}"]


def _fits(error: ModelError | None, expected: type[ModelError] | None, stream: bool) -> bool:
    if expected is StaleConnection and stream and error is None:
        return True  # it used a fresh connection, as it may for every stream
    return error is None if expected is None else isinstance(error, expected)


def _expected(subject: Subject, kind: FaultKind) -> type[ModelError] | None:
    if kind.error is StaleConnection and not subject.knows_reuse:
        return Unreachable
    return kind.error


async def _until(subject: Subject, text: str, outcomes: tuple[str, ...]) -> None:
    """Wait until the newest request with this text has one of these outcomes in the server's log."""
    if subject.log is None:
        return
    with anyio.move_on_after(_DEADLINE):
        while True:
            lines = [line for line in await subject.log() if line["text"] == text]
            if lines and lines[-1]["outcome"] in outcomes:
                return
            await anyio.sleep(0.005)
    raise NotConformant(f"the server's log never said {outcomes} about {text!r}")
