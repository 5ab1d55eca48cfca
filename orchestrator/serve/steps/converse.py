"""Answering by model: the loop of model calls and tool calls, with its caps, and the check of the answer's schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from orchestrator.core.errors import BrokenReply, ContextTooLong, LimitReached, SchemaInvalid
from orchestrator.core.message import FunctionSchema, Message, ToolCall
from orchestrator.core.written_call import written_calls
from orchestrator.deploy.deployment import Agent, CallSettings
from orchestrator.deploy.make import HAND_OVER
from orchestrator.ports.provider import Capability, ChatCall, ChatReply, Support
from orchestrator.serve.ask import Ask, CallTrace
from orchestrator.serve.doubt.case import Case
from orchestrator.serve.outbound import Customs
from orchestrator.serve.outcome import Held, Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.selection import Selection
from orchestrator.serve.steps.calling import called
from orchestrator.serve.steps.defer import pause_of
from orchestrator.serve.steps.doubt import NO_SIGNS, alternatives_of, demand_of, gate_of, weighed
from orchestrator.serve.steps.escalate import may_go_up
from orchestrator.serve.steps.near import near_enough, stays_near
from orchestrator.serve.steps.outward import let_out
from orchestrator.serve.steps.plain import SaidTwice, answer_as_json, parse_answer, read_model_json
from orchestrator.serve.steps.prompt import prompt_of
from orchestrator.serve.steps.repair import after_wish
from orchestrator.serve.steps.route import NOWHERE
from orchestrator.serve.steps.served import windows_of
from orchestrator.serve.steps.tools import answer_call, as_sent_back
from orchestrator.serve.steps.window import Prompt, Window, any_known, fit
from orchestrator.serve.unheld import in_words


async def converse(run: Run, agent: Agent, selection: Selection) -> Outcome:
    """Ask the agent's model until it answers without calling a function, within the agent's caps."""
    return await _Talk(run, agent, selection).answer()


async def converse_on(run: Run, agent: Agent, selection: Selection, at: Mapping[str, Any]) -> Outcome:
    """Go on where a call waited for a person: with this call, those after it, and the model's next turn."""
    return await _Talk(run, agent, selection).go_on(at)


class _Talk:
    """An agent's conversation with its model in one run."""

    __slots__ = (
        "agent",
        "endpoint",
        "endpoints",
        "gate",
        "history",
        "messages",
        "run",
        "selection",
        "settings",
        "step",
        "tool_calls",
        "unfit",
        "windows",
    )

    def __init__(self, run: Run, agent: Agent, selection: Selection) -> None:
        self.run = run
        self.agent = agent
        self.endpoints = selection.endpoints
        self.selection = selection
        self.endpoint = ""
        """The one that answered last."""
        options = run.request.options
        self.settings = agent.call.with_options(options) if options else agent.call
        self.gate = gate_of(run, agent, self.endpoints) if agent.spec.get("gate") else NO_SIGNS
        """Signs of a wrong answer that are looked at."""
        demands = (self._schema_in_words(), demand_of(self.gate, agent)) if self.gate else (self._schema_in_words(),)
        self.messages = prompt_of(run, agent, *demands)
        self.history = (int(self.messages[0].role == "system"), len(self.messages) - 1)
        """Which of the messages are older turns."""
        self.unfit = 0
        """Wishes in a row that did not fit."""
        self.windows: list[Window] = []
        """What was known of its endpoints' windows when it asked last."""
        self.tool_calls = 0
        self.step = 0

    async def answer(self, done: int = 0) -> Outcome:
        """``done`` is how many model calls it has made before it waited for a person."""
        most = self.agent.spec["max_steps"]
        for step in range(done + 1, most + 1):
            self.step = step
            reply = self._with_calls(await self._ask_in_short(self.agent.schemas))
            calls = reply.message.tool_calls
            if not calls:
                return await self._finish(reply)
            wish = self._hand_over(calls)
            if wish is not None:
                self.run.pause()
                return wish
            if step < most:
                await self._carry_out(reply.message)
        raise LimitReached(
            f"{self.agent.address} did not answer within {most} steps", cure="Raise limits.steps, or mend the agent."
        )

    async def go_on(self, at: Mapping[str, Any]) -> Outcome:
        self.messages = tuple(map(Message.from_kept, at["messages"]))
        self.history = (at["history"][0], at["history"][1])
        self.tool_calls, self.step, self.endpoint = at["tool_calls"], at["step"], at["endpoint"]
        if self.run.passage is not None:  # before a function gives what must be hidden too
            self.run.consents.recognise(self.agent.spec["name"], self.messages, self.run.passage)
        if "wish" not in at:  # it waited for leave to ask a model in the cloud
            self.run.leave, self.run.grant = self.run.grant, None
            return await self.answer(self.step - 1)
        await self._answer_calls(Message.from_json(at["wish"]), list(map(Message.from_kept, at["answers"])))
        return await self.answer(self.step)

    # -- asking -----------------------------------------------------------------------------------------------------

    async def _ask_in_short(self, tools: tuple[FunctionSchema, ...]) -> ChatReply:
        """Ask, and where a server says that it is too long, again without the older half of the older turns."""
        while True:
            try:
                return await self._ask(tools)
            except ContextTooLong:
                learned = windows_of(self.run, self.endpoints) != self.windows  # it was loaded for this call
                if not learned and not self._leave_out_half():
                    raise

    async def _ask(self, tools: tuple[FunctionSchema, ...]) -> ChatReply:
        run, settings = self.run, self.settings
        self._check_tokens()
        self.endpoints = near_enough(run, self.agent, self.endpoints)
        fitting = endpoints = self._fitted(self.agent.offered if tools else 0)
        call = self._call(settings, tools)
        endpoints, customs = await self._let_out(endpoints, call)
        calls = {name: self._call(own, tools) for name, own in self._others().items()} if self.agent.calls else None
        priority = self.agent.spec["priority"] or run.request.priority
        chosen = self.selection.only(self.endpoints, "is not for what is restricted")
        chosen = chosen.only(fitting, "has no room for the conversation").only(endpoints, "may not be asked")
        trace, queue = CallTrace(chosen=chosen.told), run.queue(priority)
        again = run.expects(*endpoints[: bool(tools)])  # with tools, it asks its model again after each
        ask = Ask(
            call,
            endpoints,
            run.until,
            priority,
            trace=trace,
            equals=chosen.equals,
            queue=queue,
            next=again,
            calls=calls,
            customs=customs,
            place=run.place,
            pause=pause_of(run, self.agent),
            near=stays_near(run, self.agent),
        )
        whole = self.agent.invalid is not None or bool(self.gate)  # it may still be taken back
        streams = run.listen is not None and not whole and not self._writes_calls(tools, endpoints)
        reply = await called(run, self.agent, ask, self._streamed(ask) if streams else run.loop.chat(ask))
        self.endpoint = trace.endpoint
        return reply

    async def _let_out(self, endpoints: tuple[str, ...], call: ChatCall) -> tuple[tuple[str, ...], Customs | None]:
        try:
            return await let_out(self.run, self.agent, endpoints, call)
        except Held as held:
            held.source = f"what {self.agent.address} would send to the cloud"
            held.at = self._standing()
            raise

    def _call(self, settings: CallSettings, tools: tuple[FunctionSchema, ...]) -> ChatCall:
        return ChatCall(
            NOWHERE,
            self.messages,
            tools=tools,
            schema=None if tools or not self._all_take_schemas() else self.agent.spec["output_schema"],
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            seed=settings.seed,
            top_logprobs=alternatives_of(self.gate, self.run, self.endpoints) if self.gate else 0,
            stop=settings.stop,
            extra=settings.extra,
            request_id=self.run.request.id,
            key=self.run.next_key(),
        )

    def _others(self) -> Mapping[str, CallSettings]:
        """How the endpoints are asked whose model has other options than the agent's first."""
        options = self.run.request.options
        if not options:
            return self.agent.calls
        return {name: own.with_options(options) for name, own in self.agent.calls.items()}

    def _fitted(self, offered: int) -> tuple[str, ...]:
        """The endpoints that can take the conversation; older turns that fit none of them are left out, for good."""
        self.windows = windows_of(self.run, self.endpoints)
        if not any_known(self.windows):
            return self.endpoints
        prompt = Prompt(self.messages, *self.history, offered, self.settings.max_tokens)
        fitting = fit(prompt, self.windows)
        if fitting.left_out:
            self.messages = fitting.messages
            self.history = (self.history[0], self.history[1] - fitting.left_out)
            self._tell_left_out(fitting.left_out, fitting.endpoints[0])
        return fitting.endpoints

    def _leave_out_half(self) -> bool:
        """Older turns are left out up to a user's message; whether there were any."""
        first, last = self.history
        if first >= last:
            return False
        end = first + (last - first + 1) // 2
        while end < last and self.messages[end].role != "user":
            end += 1
        self.messages = self.messages[:first] + self.messages[end:]
        self.history = (first, last - (end - first))
        self._tell_left_out(end - first, self.endpoints[0])
        return True

    def _tell_left_out(self, count: int, endpoint: str) -> None:
        turns = f"{count} older message{'s' if count > 1 else ''}"
        note = f"{turns} of the conversation did not fit the context of {endpoint} and were left out"
        self.run.remark(self.agent.address, endpoint, note)

    def _writes_calls(self, tools: tuple[FunctionSchema, ...], endpoints: tuple[str, ...]) -> bool:
        """Whether what looks like text may be a call: then nothing is said before that is known."""
        return bool(tools) and any(self._reads(name) for name in endpoints)

    def _reads(self, endpoint: str) -> bool:
        """Whether calls come as text from there, to be read by us."""
        known = self.run.deployment.endpoints.get(endpoint)
        return known is not None and known.capabilities.get(Capability.TOOL_TEXT) is Support.YES

    def _with_calls(self, reply: ChatReply) -> ChatReply:
        """The reply with the calls that are written in its text, where its server does not read them itself."""
        if reply.message.tool_calls or not self.agent.schemas or not self._reads(self.endpoint):
            return reply
        calls = written_calls(reply.message.content, self.agent.offers)
        return replace(reply, message=Message("assistant", "", calls), finish_reason="tool_calls") if calls else reply

    async def _streamed(self, ask: Ask) -> ChatReply:
        reply: ChatReply | None = None
        async with aclosing(self.run.loop.stream(ask)) as deltas:
            async for delta in deltas:
                self.run.say(delta.text)
                reply = delta.reply or reply
        if reply is None:
            raise BrokenReply("the stream ended without a reply")
        return reply

    def _check_tokens(self) -> None:
        limit, spent = self.agent.spec["max_total_tokens"], self.run.usage.total_tokens
        if limit is not None and spent >= limit:
            raise LimitReached(f"{self.agent.address} spent {spent} of {limit} tokens", cure="Raise limits.tokens.")

    def _support(self, capability: Capability) -> set[Support]:
        known = self.run.deployment.endpoints
        return {
            known[name].capabilities.get(capability, Support.UNKNOWN) if name in known else Support.UNKNOWN
            for name in self.endpoints
        }

    def _all_take_schemas(self) -> bool:
        return self.agent.spec["output_schema"] is None or Support.NO not in self._support(Capability.JSON_SCHEMA)

    def _schema_in_words(self) -> str:
        """For a model that is not, or not surely, held to the schema while it writes."""
        schema = self.agent.spec["output_schema"]
        if schema is None:
            return ""
        held = not self.agent.schemas and self._support(Capability.JSON_SCHEMA) <= {Support.YES}
        return "" if held else in_words(schema)

    # -- what a reply means -----------------------------------------------------------------------------------------

    def _hand_over(self, calls: Sequence[ToolCall]) -> Outcome | None:
        to = self.agent.spec["escalate_to"]
        wish = next((call for call in calls if call.name == HAND_OVER.name), None)
        offered = self.agent.schemas and self.agent.schemas[-1] is HAND_OVER
        if wish is None or not to or not offered or not may_go_up(self.run, self.agent):
            return None
        return Outcome(to=to, why=_reason(wish))

    async def _carry_out(self, wish: Message) -> None:
        self.tool_calls += len(wish.tool_calls)
        most = self.agent.spec["max_tool_calls"]
        if self.tool_calls > most:
            raise LimitReached(
                f"{self.agent.address} made more than {most} tool calls", cure="Raise limits.tool_calls."
            )
        self.run.pause()
        await self._answer_calls(wish, [])
        self.unfit = after_wish(self.agent, wish, self.unfit)

    async def _answer_calls(self, wish: Message, answers: list[Message]) -> None:
        """Carry out the calls of a wish that are not answered yet."""
        for call in wish.tool_calls[len(answers) :]:
            try:
                answers.append(await answer_call(self.run, self.agent, call))
            except Held as held:
                held.source = f"the model {self.endpoint} of {self.agent.address}"
                held.at = self._place(wish, answers)
                raise
        self.messages = (*self.messages, as_sent_back(wish), *answers)

    def _place(self, wish: Message, answers: Sequence[Message]) -> dict[str, Any]:
        """Where it waits for a person, in plain values."""
        return self._standing() | {"wish": wish.as_json(), "answers": [message.as_kept() for message in answers]}

    def _standing(self) -> dict[str, Any]:
        return {
            "messages": [message.as_kept() for message in self.messages],
            "history": list(self.history),
            "tool_calls": self.tool_calls,
            "step": self.step,
            "endpoint": self.endpoint,
        }

    async def _finish(self, reply: ChatReply) -> Outcome:
        text = reply.message.content
        if self.agent.invalid is None:
            said = "".join(self.run.said) or text
            if not said.strip():
                ended = f" (it ended with {reply.finish_reason})" if reply.finish_reason else ""
                self.run.remark(
                    self.agent.address, self.endpoint, f"{self.endpoint} answered with an empty text{ended}"
                )
            return await self._weighed(reply, Outcome(said, served_by=self.endpoint, finish_reason=reply.finish_reason))
        value, fault = self._checked(text)
        if fault:
            ask = f"The answer does not fit the schema: {fault}. Answer again, only with JSON that fits it."
            self.messages = (*self.messages, reply.message, Message("user", ask))
            reply = await self._ask_in_short(())
            text = reply.message.content
            value, fault = self._checked(text)
        if fault:
            message = f"{self.agent.address}: the answer does not fit its schema after one repair: {fault}"
            raise SchemaInvalid(message, attempt=text)
        text = answer_as_json(text, value)
        outcome = Outcome(text, served_by=self.endpoint, value=value, finish_reason=reply.finish_reason)
        return await self._weighed(reply, outcome)

    async def _weighed(self, reply: ChatReply, outcome: Outcome) -> Outcome:
        if not self.gate:
            return outcome
        call = self._call(self._others().get(self.endpoint, self.settings), ())
        return await weighed(Case(self.run, self.agent, self.messages, call, reply, self.endpoint, outcome), self.gate)

    def _checked(self, text: str) -> tuple[Any, str]:
        """The value of an answer that must fit the agent's schema, and what is wrong with it (empty: it fits)."""
        try:
            value = parse_answer(text)
        except SaidTwice as error:
            return None, str(error)
        except ValueError as error:
            return None, f"it is no JSON: {error}"
        return value, self.agent.invalid(value) if self.agent.invalid else ""


def _reason(call: ToolCall) -> str:
    """For whoever takes over: of several the last one, as with all arguments."""
    try:
        arguments = read_model_json(call.arguments)
    except ValueError:
        arguments = None
    reason = arguments.get("reason") if isinstance(arguments, Mapping) else None
    return f"the model asked for a hand-over: {reason}" if reason else "the model asked for a hand-over"
