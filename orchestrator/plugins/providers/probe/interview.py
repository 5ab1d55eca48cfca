"""Asking a server what it can do, one question after the other. What the answers mean is judged in ``judge.py``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final

import anyio

from orchestrator.core.errors import ModelError
from orchestrator.core.message import Message
from orchestrator.plugins.providers.probe.judge import JUDGES, Answer, overflow, parallel, read, together, vectors_come
from orchestrator.plugins.providers.probe.question import GRAMMAR, PATIENCE, QUESTIONS, Name
from orchestrator.ports.probe import Finding, Prober
from orchestrator.ports.provider import Capability, ChatCall, Provider, ServedModel, Support, Target

MOST_AT_ONCE: Final = 4
"""Calls that are sent at once to see how many are answered at once."""
LARGEST: Final = 65_536
"""Words of the longest prompt that is tried."""
SMALLEST: Final = 1_024
FILLER: Final = "one two three four "
MARKER: Final = "ZEBRA"


@dataclass(frozen=True, slots=True)
class Interview:
    """One server with one model. ``deep``: also what costs a long prompt."""

    provider: Provider
    prober: Prober
    target: Target
    model: ServedModel
    deep: bool = False

    async def findings(self) -> dict[Capability, Finding]:
        """Everything that can be found out. Raises nothing of the server's: what fails is a finding too."""
        answers: dict[Name, Answer] = {}
        found: dict[Capability, Finding] = {}
        for name in QUESTIONS:
            capability = JUDGES[name][0]
            answers[name], found[capability] = await self._asked(name)
        found = together(answers, found)
        found[Capability.EMBEDDINGS] = vectors_come(await self.prober.hear_embedding(self.target, "hello", PATIENCE))
        found[Capability.SLOTS_TOLD] = await self._slots()
        found[Capability.CONTEXT_TOLD] = await self._context()
        if self.deep and self.model.context:
            found[Capability.OVERFLOW_REFUSED] = await self._overflow(self.model.context)
        return found

    async def _asked(self, name: Name) -> tuple[Answer, Finding]:
        question, judge = QUESTIONS[name], JUDGES[name][1]
        more: Mapping[str, Any] = self.prober.grammar(GRAMMAR) if question.grammar else {}
        seed = 1
        while True:
            answer = read(await self.prober.hear(question.call(self.target, seed, more), question.stream))
            finding = judge(answer)
            if finding.support is not Support.UNKNOWN or seed == question.tries:
                return answer, finding
            seed += 1

    async def _slots(self) -> Finding:
        if self.model.slots:
            return Finding(Support.YES, "the server tells it", self.model.slots)
        spans: list[tuple[float, float]] = []

        async def stream(number: int) -> None:
            times = await self._times(self._long_answer(number))
            if times:
                spans.append((times[0], times[-1]))

        async with anyio.create_task_group() as tasks:
            for number in range(MOST_AT_ONCE):
                tasks.start_soon(stream, number)
        return parallel(MOST_AT_ONCE, spans)

    async def _times(self, call: ChatCall) -> list[float]:
        """When the pieces of an answer came; one that failed, or got no place, has none."""
        times: list[float] = []
        with suppress(ModelError):
            async with aclosing(self.provider.stream(call)) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
                times += [time.monotonic() async for delta in deltas if delta.text]
        return times

    def _long_answer(self, number: int) -> ChatCall:
        text = f"Count from {number} to one hundred, in words."
        return ChatCall(
            self.target, (Message("user", text),), max_tokens=96, temperature=1.0, seed=number, timeout=PATIENCE
        )

    async def _context(self) -> Finding:
        if self.model.context:
            return Finding(Support.YES, "the server tells it", self.model.context)
        if not self.deep:
            return Finding(Support.NO, "not told; --deep tries")
        taken, words = 0, SMALLEST
        while words <= LARGEST:
            answer = await self._long_prompt(words)
            counted = answer.usage.get("prompt_tokens")
            whole = answer.status == 200 and (
                counted >= words if isinstance(counted, int) and counted else MARKER in answer.text
            )
            if not whole:
                said = overflow(answer, words)
                return Finding(Support.NO, f"not told; {taken} tokens were taken, then: {said.evidence}", taken or None)
            taken, words = counted or words, words * 2
        return Finding(Support.NO, f"not told; {taken} tokens were taken, more were not tried", taken)

    async def _overflow(self, context: int) -> Finding:
        words = context + context // 8 + 64
        if words > 2 * LARGEST:
            return Finding(Support.UNKNOWN, f"a prompt longer than {context} tokens was not tried")
        return overflow(await self._long_prompt(words), words)

    async def _long_prompt(self, words: int) -> Answer:
        """A prompt of at least so many tokens that begins with a word to remember."""
        filler = FILLER * -(-words // 4)
        text = f"The first word is {MARKER}. {filler}\nWhat is the first word?"
        call = ChatCall(self.target, (Message("user", text),), max_tokens=8, temperature=0.0, timeout=2 * PATIENCE)
        return read(await self.prober.hear(call, stream=False))


def interview(provider: Provider, target: Target, model: ServedModel, deep: bool = False) -> Interview | None:
    """An interview of one model; ``None`` where this provider's servers cannot be probed."""
    return Interview(provider, provider, target, model, deep) if isinstance(provider, Prober) else None
