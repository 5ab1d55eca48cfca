"""Every built-in tool with wrong input: the run fails with a message, and a cure that says what to write or where to mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

import orchestrator

pytestmark = pytest.mark.anyio

OWN: Final = '''\
import helper


def refuse(quantity: int) -> str:
    """Refuse it."""
    if quantity < 100:
        raise ValueError("at least a hundred")
    return "ok"


def breaks(sku: str) -> str:
    """Break elsewhere."""
    return helper.price(sku)


async def waits(sku: str) -> str:
    """Break in the event loop."""
    return {}[sku]


def odd() -> object:
    """Give what is no JSON."""
    return object()


def slow() -> str:
    """Never end within its time."""
    import threading
    threading.Event().wait(2)
    return "late"
'''
HELPER: Final = "PRICES = {}\n\n\ndef price(sku: str) -> str:\n    return PRICES[sku]\n"
SHOP: Final = {
    "name": "shop",
    "use": "database",
    "path": "shop.csv",
    "allow_sql": True,
    "queries": {
        "half": {"sql": "select abs(-9223372036854775807 - :n) as n from shop", "parameters": {"n": "integer"}},
        "whole": {"sql": "with recursive c(x) as (select 1 union all select x + 1 from c limit 500) select x from c"},
    },
}
MINE: Final = {"name": "mine", "python": "own:refuse", "functions": ["breaks", "waits", "odd"]}
SLOW: Final = {"name": "slow", "python": "own:slow", "timeout": "50ms"}
HOW: Final = 'write it like "tomorrow at 17:00", "in 2 hours", "2026-03-05 14:00" or "venerdì alle 9:30"'
Case = tuple[str | dict[str, Any], str, dict[str, Any], str, str]
"""A tool, what is called, with what, and a part of the message and of the cure."""
CASES: Final[list[Case]] = [
    ("clock", "clock.parse", {"text": "soonish"}, '"soonish" is no time that I understand', HOW),
    ("clock", "clock.add", {"years": 99999}, "that time is too far away", "give a smaller amount"),
    (
        "clock",
        "clock.add",
        {"years": "many"},
        '"years" must be a whole number, not "many"',
        "years (integer; may be left out)",
    ),
    ("calendar", "calendar.cancel", {"id": "x"}, 'there is no event "x"', "list the events"),
    ("calendar", "calendar.add", {"title": "t", "start": "tomorrow"}, "has no time of day", HOW),
    ("calendar", "calendar.add", {"start": "tomorrow"}, '"title" is missing', "title (what it is), start (such as"),
    (
        "calendar",
        "calendar.list",
        {"start": "2026-03-05", "end": "2026-03-01"},
        "is not after the start",
        "give an end after",
    ),
    ("calendar", "calendar.list", {"start": "2026-03-05", "end": "2030-03-01"}, "longer than a year", "a shorter span"),
    ("tickets", "tickets.show", {"number": "T-77"}, "there is no ticket T-77", "list the tickets"),
    (
        "tickets",
        "tickets.show",
        {"number": "seven"},
        '"number" must match',
        "tickets.show takes number (such as T-1001)",
    ),
    (
        "tickets",
        "tickets.list",
        {"status": "opne"},
        '"status" must be one of',
        "status (open or closed or all; may be left out)",
    ),
    (
        "tickets",
        "tickets.create",
        {"subjekt": "x"},
        '"subject" is missing',
        "subject (the matter in a few words), body (",
    ),
    (
        "email",
        "email.send",
        {"to": "anna", "subject": "s", "body": "b"},
        '"to" must match',
        "email.send takes to (string), subject",
    ),
    ("email", "email.list", {"limit": 0}, '"limit" must be at least 1, not 0', "limit (how many; may be left out)"),
    (
        "knowledge",
        "knowledge.search",
        {"query": "x", "limit": 99},
        '"limit" must be at most 20',
        "query (the question, or",
    ),
    (
        SHOP,
        "shop.query",
        {"sql": "select nowhere from shop"},
        "no such column: nowhere",
        "mend the statement: shop.tables",
    ),
    (SHOP, "shop.query", {"sql": "delete from shop"}, "shop may only be read", "mend the statement: shop.tables"),
    (SHOP, "shop.half", {"n": 1}, "integer overflow", "mend its sql in the manifest: queries.half of the tool shop"),
    (SHOP, "shop.half", {"n": "x"}, '"n" must be a whole number', "shop.half takes n (integer)"),
    (SHOP, "shop.whole", {}, "more than 200 rows", "queries.whole of the tool shop"),
    (MINE, "mine.refuse", {"quantity": 3}, "at least a hundred", "mine.refuse refuses it in own.py, line 7 (refuse)"),
    (MINE, "mine.refuse", {}, '"quantity" is missing', "mine.refuse takes quantity (integer)"),
    (MINE, "mine.breaks", {"sku": "A"}, "mine.breaks failed (KeyError)", "mend it in helper.py, line 5 (price)"),
    (MINE, "mine.waits", {"sku": "A"}, "mine.waits failed (KeyError)", "mend it in own.py, line 18 (waits)"),
    (MINE, "mine.odd", {}, "gave something that is no JSON value", "own.py, line 21 (odd)"),
    (SLOW, "slow.slow", {}, "did not finish in 0.05 s", "Raise timeout of the tool slow"),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case[1]}-{number}" for number, case in enumerate(CASES)])
async def test_a_failing_tool_says_what_cures_it(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a rule that calls it so, as a user sees it."""
    tool, call, arguments, message, cure = case
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    for name, text in {"own.py": OWN, "helper.py": HELPER, "shop.csv": "sku,price\nA,1\n"}.items():
        (tmp_path / name).write_text(text)
    rule = {"call": call, "arguments": arguments, "say": "done"}
    agent = {"name": "desk", "description": "x", "tools": [call.partition(".")[0]], "reflex": [rule]}
    tools = [tool] if isinstance(tool, dict) else [{"name": tool}]
    manifest = tmp_path / "desk.yaml"
    manifest.write_text(json.dumps({"deployment": {"type": "single-device", "tools": tools, "agents": [agent]}}))
    async with orchestrator.open(manifest, state=tmp_path) as desk:
        result = await desk.run("do it")
    assert result.error is not None
    assert result.error["code"] == "ORC507"
    assert message in result.error["message"]
    assert cure in result.error["cure"]
    assert "Traceback" not in result.error["cure"]
