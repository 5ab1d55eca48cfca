"""The one place where the thoughts that a model writes before its answer are taken off it.

Most servers give them apart from the answer, which the providers pass over; some leave them in its text. Here every call to a model
comes back, whole or in pieces and of whatever provider: so schemas, signs of doubt, sessions and the caller see the answer.
What was written is paid for and counted as the server tells it, below.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace

from orchestrator.core.errors import ModelError
from orchestrator.core.thoughts import AnswerInPieces, after_thoughts
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Provider, TokenProbability


class AfterThoughts:
    """Stands before the ``carrier`` of calls to an endpoint, and passes on what comes after the thoughts."""

    def __init__(self, carrier: Provider) -> None:
        self.carrier = carrier
        self.kind = carrier.kind

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer."""
        with _answer_so_far():
            return _answer_in(await self.carrier.chat(call))

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer in pieces. One of a thought shows that the server is writing."""
        answer = AnswerInPieces()
        with _answer_so_far():
            async with aclosing(self.carrier.stream(call)) as pieces:  # type: ignore[type-var] # a generator, which closes
                async for delta in pieces:
                    text = answer.add(delta.text) if delta.text else ""
                    if delta.reply is not None:
                        yield Delta(text + answer.end(), _answer_in(delta.reply))
                    elif text == delta.text:
                        yield delta
                    else:
                        yield Delta(text, sign=delta.sign or ("" if text else "writing"))


@contextmanager
def _answer_so_far() -> Iterator[None]:
    """A fault tells of the text that had come the answer only."""
    try:
        yield
    except ModelError as error:
        error.partial = after_thoughts(error.partial)
        raise


def _answer_in(reply: ChatReply) -> ChatReply:
    message = reply.message
    text, told = after_thoughts(message.content), _of_the_answer(reply.logprobs)
    if text == message.content and len(told) == len(reply.logprobs):
        return reply
    return replace(reply, message=replace(message, content=text, _encoded=[]), logprobs=told)


def _of_the_answer(tokens: tuple[TokenProbability, ...]) -> tuple[TokenProbability, ...]:
    """Their tokens are looked at for themselves: some servers take a thought out of the text and not out of these."""
    written = "".join(token.token for token in tokens)
    left = len(written) - len(after_thoughts(written))
    number = 0
    while left > 0 and number < len(tokens):
        left -= len(tokens[number].token)
        number += 1
    return tokens[number - (left < 0) :]  # one that holds the end of a thought and a word is the answer's
