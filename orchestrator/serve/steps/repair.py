"""A model's wish to call what cannot be called so: it is told the checker's words once, then a stronger agent takes over."""

from __future__ import annotations

from orchestrator.core.errors import SchemaInvalid
from orchestrator.core.message import Message
from orchestrator.core.schema_check import check_arguments
from orchestrator.deploy.deployment import Agent
from orchestrator.serve.steps.tools import LONGEST_REPEATED, arguments_of


def after_wish(agent: Agent, wish: Message, before: int) -> int:
    """How many wishes in a row do not fit, with this one, whose calls are all answered; ``before`` did not. Raises
    ``SchemaInvalid`` where it is the second, and the agent hands over for that; without that, its cap of steps bounds how often it
    tries."""
    spec = agent.spec
    if not spec["escalate_to"] or "schema_invalid" not in spec["escalate_when"]:
        return 0
    fault = fault_of(agent, wish)
    if fault and before:
        tried = "; ".join(f"{call.name}({call.arguments[:LONGEST_REPEATED]})" for call in wish.tool_calls)
        raise SchemaInvalid(f"{agent.address}: its calls do not fit after one repair: {fault}", attempt=tried)
    return before + 1 if fault else 0


def fault_of(agent: Agent, wish: Message) -> str:
    """What is wrong with the calls of a wish, in the words that the model gets; an empty text where all fit."""
    return "; ".join(filter(None, (_fault(agent, call.name, arguments_of(call)) for call in wish.tool_calls)))


def _fault(agent: Agent, name: str, arguments: object) -> str:
    function = agent.functions.get(name)
    if function is None:
        return f"there is no function {name!r}"
    if isinstance(arguments, str):
        return f"{function.name}: {arguments}"
    fault = check_arguments(arguments, function.parameters).fault
    return f"{function.name}: {fault}" if fault else ""
