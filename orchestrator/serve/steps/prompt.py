"""What a model is shown: one system message, the conversation so far, the request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.core.message import Message
from orchestrator.deploy.deployment import Agent
from orchestrator.serve.run import Run
from orchestrator.serve.steps.refused import refused_before
from orchestrator.serve.steps.served import with_model_names
from orchestrator.serve.steps.shorten import shortened

LONGEST_ATTEMPT: Final = 4_000
"""Characters of a failed attempt that the next model is shown."""


def prompt_of(run: Run, agent: Agent, *demands: str) -> tuple[Message, ...]:
    """The messages of an agent's first call. ``demands`` say what its answer must look like.

    All that is said to the model as the system goes into one message, and the conversation begins with a user's: the
    chat templates of many small models refuse everything else.
    """
    history = _seen(run.history, agent.spec["history_turns"])
    told = [message.content for message in run.history if message.role == "system" and message.content]
    told += [text for text in (_handed_over(run), _refused(run), *demands) if text]
    head = _system(run, agent, told)
    return (*head, *history, Message("user", run.request.text))


def _seen(history: Sequence[Message], turns: int) -> Sequence[Message]:
    """The newest turns, from a user's message on: an answer or a tool's result without its question misleads a model."""
    if not turns:
        return ()
    said = _alternating([message for message in history if message.role != "system"])[-turns:]
    begin = next((at for at, message in enumerate(said) if message.role == "user"), len(said))
    return said[begin:]


def _alternating(said: Sequence[Message]) -> list[Message]:
    """A person's answer may come after the one that promised it. Many chat templates refuse two answers in a row: they are
    one then."""
    found: list[Message] = []
    for message in said:
        last = found[-1] if found else None
        if (
            last is not None
            and message.role == last.role == "assistant"
            and not (last.tool_calls or message.tool_calls)
        ):
            found[-1] = _together(last, message)
        else:
            found.append(message)
    return found


def _together(first: Message, second: Message) -> Message:
    """Two answers as one."""
    begins = len(first.content) + 2
    marks = (*first.marks, *((begin + begins, end + begins, field) for begin, end, field in second.marks))
    return Message("assistant", f"{first.content}\n\n{second.content}", marks=marks)


def _system(run: Run, agent: Agent, told: Sequence[str]) -> tuple[Message, ...]:
    if agent.fixed_prompt is not None and not told:
        return (agent.fixed_prompt,)  # encoded once for all runs
    spec = agent.spec
    values = {"agent": spec["name"], "text": run.request.text, "session": run.request.session}
    parts = [agent.prompt(values), *told] if spec["instructions"] else told
    text = "\n\n".join(part for part in parts if part)
    return (Message("system", text),) if text else ()


def _handed_over(run: Run) -> str:
    if not run.attempts:
        return ""
    attempt = run.attempts[-1]
    marks = run.passage.standing(attempt.text) if run.passage is not None else ()
    done = attempt.done(shortened(attempt.text, LONGEST_ATTEMPT, marks)[0])
    return f"{attempt.agent} could not finish this request ({with_model_names(run, attempt.reason)}).{' ' if done else ''}{done}"


def _refused(run: Run) -> str:
    """What a person said no to before this agent came to the request: it is not done by another one either."""
    told = refused_before(run)
    return f"In this request {'; '.join(told)}. Do not ask for that again." if told else ""
