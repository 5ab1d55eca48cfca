"""A model's wish to call what cannot be called so: it is told the checker's words once, then a stronger agent takes over."""

from __future__ import annotations

from orchestrator.core.errors import SchemaInvalid
from orchestrator.core.message import Message
from orchestrator.core.schema_check import check_arguments
from orchestrator.deploy.deployment import Agent
from orchestrator.serve.steps.tools import arguments_of


class Repairs:
    """Counts the wishes in a row that do not fit, for one agent in one run."""

    __slots__ = ("_agent", "_in_a_row")

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._in_a_row = 0

    def note(self, wish: Message) -> None:
        """A wish whose calls are all answered. Raises ``SchemaInvalid`` where it is the second in a row that does not fit, and the
        agent hands over for that; without that, its cap of steps bounds how often it tries."""
        fault = fault_of(self._agent, wish)
        self._in_a_row = self._in_a_row + 1 if fault else 0
        spec = self._agent.spec
        if self._in_a_row > 1 and spec["escalate_to"] and "schema_invalid" in spec["escalate_when"]:
            raise SchemaInvalid(f"{self._agent.address}: its calls do not fit after one repair: {fault}")


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
