"""The kiosk and the help desk read all of a request: what they do not answer they say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import orchestrator
from orchestrator import Opened

ROOT = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.anyio


@pytest.fixture
async def kiosk(tmp_path: Path) -> AsyncIterator[Opened]:
    async with orchestrator.open(
        ROOT / "retail-kiosk" / "kiosk.yaml", environment={"ORCHESTRATOR_SERVERS": ""}, state=tmp_path
    ) as opened:
        yield opened


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Opened]:
    async with orchestrator.open(
        ROOT / "customer-service" / "help-desk.yaml", environment={"ORCHESTRATOR_SERVERS": ""}, state=tmp_path
    ) as opened:
        yield opened


@pytest.mark.parametrize(
    "joined", ["{a} {first} and {b} {second}", "{a} {first}, {b} {second}", "{a} x {first} plus {b} x {second}"]
)
@pytest.mark.parametrize(("a", "b"), [(1, 1), (3, 20), (120, 9)])
async def test_a_quote_for_two_things_is_the_two_quotes(kiosk: Opened, joined: str, a: int, b: int) -> None:
    """However they are joined, with the discount that each has alone."""
    both = await kiosk.run("Quote for " + joined.format(a=a, first="PT-1101", b=b, second="bags of Solida cement"))
    alone = [await kiosk.run(f"Quote for {text}") for text in (f"{a} PT-1101", f"{b} bags of Solida cement")]
    assert [both.status, *(each.status for each in alone)] == ["completed"] * 3, (both.text, alone)
    assert both.value["lines"] == [line for each in alone for line in each.value["lines"]]
    assert both.value["total_cents"] == sum(each.value["total_cents"] for each in alone)


@pytest.mark.parametrize(
    "money", ["500 euro", "500 euros", "500€", "€500", "EUR 500", "500 EUR", "500 dollars", "$500"]
)
async def test_money_is_never_a_count(kiosk: Opened, money: str) -> None:
    """Whatever is done with it."""
    for text in (f"Quote for spirit levels for {money}", f"how many spirit levels for {money}?"):
        result = await kiosk.run(text)
        assert "500 x" not in result.text, (text, result.text)
        assert result.status == "unsure" or "29 x Ferrum spirit level" in result.text, (text, result.text)


@pytest.mark.parametrize("without", ["but not Torvak", "except Torvak", "other than Torvak", "that isn't Torvak"])
async def test_what_is_excluded_is_not_offered(kiosk: Opened, without: str) -> None:
    result = await kiosk.run(f"Do you have a cordless drill {without}?")
    assert result.status == "completed", result.text
    assert "Halden cordless drill 12V" in result.text
    assert not any(item["name"].startswith("Torvak") for item in _offered(result))


def _offered(result: orchestrator.Result) -> list[dict[str, str]]:
    sets = result.value.get("sets") or [result.value]
    return [item for each in sets for item in each["products"]]


@pytest.mark.parametrize(
    "text",
    ["Quote for 3 rubber mallets and 2 unicorns", "Quote for 3 rubber mallets and cement", "Quote for 3 drills"],
    ids=["unknown", "no count", "several products"],
)
async def test_a_quote_is_for_all_that_is_asked_for_or_for_nothing(kiosk: Opened, text: str) -> None:
    result = await kiosk.run(text)
    assert result.status == "unsure", result.text
    assert "?" in result.text
    assert "Q-" not in result.text


async def test_every_order_that_is_named_is_answered_and_an_unknown_one_is_told(desk: Opened) -> None:
    result = await desk.run("Where are my orders 48202, 11111 and 48203?")
    assert [row["number"] for row in result.value] == [48202, 11111, 48203]
    assert "There is no order 11111" in result.text
    assert "desk lamp" in result.text and "yoga mat" in result.text


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Where is my order 48202 and what is your return policy?", "unsure"),
        ("Where is my order 48202 and when will it arrive?", "completed"),
    ],
)
async def test_a_second_wish_about_something_else_is_not_dropped(desk: Opened, text: str, status: str) -> None:
    assert (await desk.run(text)).status == status
