"""One model call of a run, whoever makes it, and what is told of it: what it cost, how it ended, what was cut."""

from __future__ import annotations

from collections.abc import Awaitable

from anyio import get_cancelled_exc_class

from orchestrator.core.errors import RunError
from orchestrator.deploy.deployment import Agent, Router
from orchestrator.ports.provider import ChatReply
from orchestrator.serve.ask import Ask
from orchestrator.serve.clock import current_time
from orchestrator.serve.run import Run, fault_name
from orchestrator.serve.steps.outward import tell_out
from orchestrator.serve.steps.served import cut_off_usage, tell_if_cut, tell_if_unheld
from orchestrator.serve.unheld import as_sent


async def called(run: Run, part: Agent | Router, ask: Ask, reply: Awaitable[ChatReply]) -> ChatReply:
    """Wait for the ``reply`` to ``ask``, which an agent or a router makes, and note the call with its run, however it ends.

    Raises what ``reply`` raises.
    """
    began, before = current_time(), len(run.said)
    try:
        answer = await reply
    except (RunError, get_cancelled_exc_class()) as error:
        sent = as_sent(ask.call, ask.trace.unheld)
        spent = cut_off_usage(sent, ask.trace, "".join(run.said[before:]))
        tell_out(run, part, ask.customs, ask.trace)
        run.note_call(part.address, began, ask.trace, spent, fault_name(error))
        tell_if_unheld(run, part.address, ask.trace)
        raise
    tell_out(run, part, ask.customs, ask.trace)
    run.note_call(part.address, began, ask.trace, answer.usage)
    tell_if_unheld(run, part.address, ask.trace)
    tell_if_cut(run, part.address, ask.trace.endpoint, as_sent(ask.call, ask.trace.unheld), answer)
    return answer
