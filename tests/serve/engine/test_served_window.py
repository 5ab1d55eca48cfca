"""A run never has its prompt cut in silence: it is shortened with a note, refused, or told after the fact."""

from __future__ import annotations

import pytest

from orchestrator.core.message import Message
from orchestrator.ports.provider import Capability, Support
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Script
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, router_spec, serving

pytestmark = pytest.mark.anyio
SILENT = {Capability.OVERFLOW_REFUSED: Support.IGNORED}
LONG = tuple(Message("user" if n % 2 == 0 else "assistant", f"turn {n} " + "word " * 100) for n in range(10))


async def test_older_turns_that_do_not_fit_are_left_out_and_told() -> None:
    """The newest stay; the result and an event say how many did not."""
    wanted = Wanted([agent_spec("a")], contexts={"m@1": 1000}, capabilities=SILENT)
    async with serving(wanted, simulated(["m"], context=1000)) as served:
        result = await served.run("and now?", history=LONG)
        sent = served.sent()
        told = [dict(event.fields) for event in served.events if event.kind == "run.note"]
    assert result.status == "completed"
    note = "6 older messages of the conversation did not fit the context of m@1 and were left out"
    assert result.notes == (note,)
    assert told == [{"agent": "agent.a", "endpoint": "m@1", "note": note}]
    assert [role for role, _ in sent] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert sent[1][1].startswith("turn 6") and sent[-1][1] == "and now?"


async def test_a_server_that_says_it_is_too_long_is_asked_again_without_the_older_half() -> None:
    """Its own count goes before our estimate, so that a conversation never gets stuck."""
    wanted = Wanted([agent_spec("a", escalate_when=[])])
    async with serving(wanted, simulated(["m"], context=500)) as served:
        result = await served.run("and now?", history=LONG)
        count = len(served.server.records)
        sent = served.sent()
        alone = await served.run("word " * 3000)
    assert result.status == "completed" and count > 1
    assert result.notes and all("did not fit the context of m@1 and were left out" in note for note in result.notes)
    assert sent[-1][1] == "and now?" and len(sent) < len(LONG)
    assert alone.error is not None and alone.error["kind"] == "ContextTooLong"


async def test_an_endpoint_with_more_context_is_used_instead() -> None:
    """Although another one is preferred: nothing has to be left out."""
    wanted = Wanted([agent_spec("a")], bound={"m": ("m@1", "m@2")}, contexts={"m@1": 500, "m@2": 8000})
    async with serving(wanted, simulated(["m"], context=500), simulated(["m"], context=8000)) as served:
        result = await served.run("and now?", history=LONG)
    assert (result.served_by, result.notes) == ("m@2", ())


async def test_a_request_that_cannot_fit_is_never_sent() -> None:
    """A typed error with the figures, and no request at the server."""
    wanted = Wanted([agent_spec("a", escalate_when=[])], contexts={"m@1": 1000}, capabilities=SILENT)
    async with serving(wanted) as served:
        result = await served.run("word " * 3000)
        assert served.server.records == []
    assert result.error is not None
    assert (result.error["code"], result.error["kind"]) == ("ORC525", "ContextTooLong")
    assert "does not fit the 1000 tokens that m@1 serves" in result.error["message"]


async def test_a_prompt_that_was_cut_in_silence_is_told() -> None:
    """The window was not known; the server's own count shows that it read a part only."""
    wanted = Wanted([agent_spec("a")], capabilities=SILENT)
    async with serving(wanted, simulated(["m"], context=300, ignores=frozenset(("overflow",)))) as served:
        result = await served.run("word " * 1000)
        assert "run.note" in served.kinds()
    assert result.notes == ("m@1 read only 300 tokens of the prompt: the rest was cut without a word",)


async def test_a_server_that_refuses_is_not_doubted() -> None:
    """Its count may be of another kind; it would have answered with an error."""
    wanted = Wanted([agent_spec("a")], capabilities={Capability.OVERFLOW_REFUSED: Support.YES})
    async with serving(wanted, simulated(["m"], faults=["silent-truncation"], context=10**6)) as served:
        result = await served.run("word " * 1000)
    assert result.notes == ()


async def test_a_router_does_not_ask_a_model_that_would_read_a_part_only() -> None:
    """It abstains and says why."""
    front = router_spec("front", {"a": "x"}, strategy="intent", models=["m"])
    wanted = Wanted([front, agent_spec("a")], contexts={"m@1": 64}, capabilities=SILENT)
    async with serving(wanted) as served:
        result = await served.run("please help me with this")
        assert served.server.records == []
    assert result.status == "unsure"
    assert "ContextTooLong" in result.why


CALL_AS_TEXT = '<tool_call>\n{"name": "shop_count", "arguments": {}}\n</tool_call>'


async def test_calls_that_come_as_text_are_carried_out_where_the_server_does_not_read_them() -> None:
    """The call is not shown to the caller, its answer is; elsewhere the same text is an answer."""
    said: list[str] = []
    tool = FakeTool("shop", {"count": 3})
    script = Script(sequence=[CALL_AS_TEXT, "There are 3."])
    able = {Capability.TOOLS: Support.IGNORED, Capability.TOOL_TEXT: Support.YES}
    wanted = Wanted([agent_spec("a", tools=["shop"])], [tool], capabilities=able)
    async with serving(wanted, simulated(["m"], script)) as served:
        result = await served.run("how many?", lambda event: said.append(str(event.fields.get("text", ""))))
    assert (result.text, result.usage.model_calls) == ("There are 3.", 2)
    assert [name for name, _, _ in tool.calls] == ["shop.count"]
    assert "<tool_call>" not in "".join(said)


async def test_text_that_looks_like_a_call_stays_text_elsewhere() -> None:
    """Where the server reads calls, what it leaves in the text was meant as text."""
    tool = FakeTool("shop", {"count": 3})
    wanted = Wanted([agent_spec("a", tools=["shop"])], [tool], capabilities={Capability.TOOLS: Support.YES})
    async with serving(wanted, simulated(["m"], Script(sequence=[CALL_AS_TEXT]))) as served:
        result = await served.run("how many?")
    assert (result.text, tool.calls) == (CALL_AS_TEXT, [])


async def test_an_agent_with_tools_is_not_served_by_a_server_that_calls_none() -> None:
    """It would answer from imagination what it should look up."""
    tool = FakeTool("shop", {"count": 3})
    wanted = Wanted([agent_spec("a", tools=["shop"])], [tool], capabilities={Capability.TOOLS: Support.IGNORED})
    async with serving(wanted) as served:
        result = await served.run("how many?")
    assert result.error is not None and result.error["kind"] == "NoModel"
