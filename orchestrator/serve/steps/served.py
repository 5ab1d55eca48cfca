"""What the endpoints of a run serve: their windows, and what shows that one of them cut a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.core.message import Usage
from orchestrator.ports.provider import Capability, ChatCall, ChatReply, Support
from orchestrator.serve.ask import CallTrace
from orchestrator.serve.run import Run
from orchestrator.serve.steps.window import Window, was_cut, window_of

_WORKED_ON: Final = frozenset(("cancelled", "DeadlinePassed", "Stalled"))
_BYTES_A_TOKEN: Final = 4
"""A usual average of English text."""


def windows_of(run: Run, endpoints: Sequence[str]) -> list[Window]:
    """In the same order; of one that nothing is known of, nothing is said."""
    known, told = run.deployment.endpoints, run.loop.told
    return [window_of(known[name], told(name)) if name in known else Window(name) for name in endpoints]


def tell_if_cut(run: Run, agent: str, endpoint: str, call: ChatCall, reply: ChatReply) -> None:
    """A server that does not refuse a prompt which is too long may have read a part of it only: its own count shows it."""
    if reply.usage.estimated or not was_cut(call.messages, reply.usage.prompt_tokens) or _refuses(run, endpoint):
        return
    note = f"{endpoint} read only {reply.usage.prompt_tokens} tokens of the prompt: the rest was cut without a word"
    run.remark(agent, endpoint, note)


def tell_if_unheld(run: Run, agent: str, trace: CallTrace) -> None:
    """A server that makes no grammar of a schema has not held the answer to it."""
    if trace.unheld:
        cannot = f"{trace.endpoint} cannot hold answers to the JSON Schema of {agent} ({trace.unheld})"
        run.remark(agent, trace.endpoint, f"{cannot}: it was asked in words, and its answer is checked")


def cut_off_usage(call: ChatCall, trace: CallTrace, said: str) -> Usage:
    """What a call that was cut off has cost, as far as can be reckoned: its server gives no counts, but it has read the prompt
    and written what came. Nothing where no server worked on it."""
    last = trace.attempts[-1].outcome if trace.attempts else ""
    if last not in _WORKED_ON and not said:
        return Usage()
    prompt = sum(len(turn.encoded()) for turn in call.messages)
    return Usage(-(-prompt // _BYTES_A_TOKEN), -(-len(said.encode()) // _BYTES_A_TOKEN), 1, estimated=True)


def _refuses(run: Run, endpoint: str) -> bool:
    known = run.deployment.endpoints.get(endpoint)
    return known is not None and known.capabilities.get(Capability.OVERFLOW_REFUSED) is Support.YES


def with_model_names(run: Run, reason: str) -> str:
    """A reason for other models to read: with the name of a model in the place of its endpoint's id. That reads like somebody's
    e-mail address: it would be redacted as one, or be why nothing is sent."""
    if "@" not in reason:
        return reason
    names = {name: known.target.model for name, known in run.deployment.endpoints.items()}
    for name in sorted(names, key=len, reverse=True):  # one may begin with another
        reason = reason.replace(name, names[name].replace("@", " "))
    return reason
