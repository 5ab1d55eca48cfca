"""What the endpoints of a run serve: their windows, and what shows that one of them cut a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.ports.provider import Capability, ChatCall, ChatReply, Support
from orchestrator.serve.run import Run
from orchestrator.serve.steps.window import Window, was_cut


def windows_of(run: Run, endpoints: Sequence[str]) -> list[Window]:
    """In the same order; of one that nothing is known of, nothing is said."""
    known = run.deployment.endpoints
    return [
        Window(name, known[name].context, _refuses(run, name)) if name in known else Window(name) for name in endpoints
    ]


def tell_if_cut(run: Run, agent: str, endpoint: str, call: ChatCall, reply: ChatReply) -> None:
    """A server that does not refuse a prompt which is too long may have read a part of it only: its own count shows it."""
    if reply.usage.estimated or _refuses(run, endpoint) or not was_cut(call.messages, reply.usage.prompt_tokens):
        return
    note = f"{endpoint} read only {reply.usage.prompt_tokens} tokens of the prompt: the rest was cut without a word"
    run.remark(agent, endpoint, note)


def _refuses(run: Run, endpoint: str) -> bool:
    known = run.deployment.endpoints.get(endpoint)
    return known is not None and known.capabilities.get(Capability.OVERFLOW_REFUSED) is Support.YES
