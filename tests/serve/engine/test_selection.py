"""Which of an agent's models a request goes to: by what they claim, by size, by what the device can give now."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.request import Result
from orchestrator.deploy.deployment import ModelChoice
from orchestrator.plan.pressure import Pressure
from orchestrator.serve.selection import Asked, Selection, select
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from tests.serve.engine.parts import Wanted, agent_spec, model_spec, serving

GB = 10**9
LARGE = ModelChoice("large", ("l@1", "l@2"), 8 * GB, 2, frozenset({"complex"}))
MIDDLE = ModelChoice("middle", ("m@1",), 4 * GB, 1, frozenset({"moderate", "complex"}))
SMALL = ModelChoice(
    "small", ("s@1",), 1 * GB, 1, frozenset({"simple", "moderate"}), frozenset({"bulk"}), secondary=True
)
ALL = (LARGE, MIDDLE, SMALL)
FAULT = "internal error"
BATTERY = "the device runs on battery (20%)"
NO_ROOM = {"l@1": "large needs 8.0 GB, and 2.0 GB can be had now"}

CASES = {
    "as they are listed": (Asked(), "l@1 l@2 m@1 s@1", ""),
    "simple": (Asked("simple"), "s@1 l@1 l@2 m@1", "small: it is for simple requests"),
    "moderate": (Asked("moderate"), "s@1 m@1 l@1 l@2", "small: it is for moderate requests, it is the smallest of 2"),
    "complex": (Asked("complex"), "m@1 l@1 l@2 s@1", "middle: it is for complex requests, it is the smallest of 2"),
    "bulk": (Asked(priority="bulk"), "s@1 l@1 l@2 m@1", "small: it is for bulk requests"),
    "both": (
        Asked("moderate", "bulk"),
        "s@1 m@1 l@1 l@2",
        "small: it is for moderate and bulk requests",
    ),
    "on battery": (Asked(saving=BATTERY), "s@1 m@1 l@1 l@2", f"small: {BATTERY}"),
    "complex on battery": (
        Asked("complex", saving=BATTERY),
        "m@1 l@1 l@2 s@1",
        f"middle: it is for complex requests, {BATTERY}, it is the smallest of 2",
    ),
    "no room for the first": (Asked(starved=NO_ROOM), "m@1 s@1 l@1 l@2", f"middle: {NO_ROOM['l@1']}"),
    "no room for one that would not come": (
        Asked("simple", starved=NO_ROOM),
        "s@1 m@1 l@1 l@2",
        "small: it is for simple requests",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_order_and_its_reason(case: str) -> None:
    """What claims the request comes first, the smallest of those; the others stay to fall back on."""
    asked, endpoints, why = CASES[case]
    found = select(ALL, asked)
    assert (" ".join(found.endpoints), found.why) == (endpoints, why)


def test_a_complexity_goes_before_a_priority_and_only_what_is_smaller_is_said_to_be() -> None:
    """Every request has a priority, which its caller need not have chosen."""
    urgent = ModelChoice("urgent", ("u@1",), GB, 1, frozenset({"complex"}), frozenset({"interactive"}))
    plain = ModelChoice("plain", ("p@1",), GB, 1, frozenset({"simple"}), frozenset({"bulk"}))
    found = select((urgent, plain), Asked("simple", "interactive"))
    assert (found.endpoints, found.why) == (("p@1", "u@1"), "plain: it is for simple requests")
    twin = ModelChoice("twin", ("t@1",), GB, 1, frozenset({"simple"}))
    assert select((urgent, twin, plain), Asked("simple")).why == "twin: it is for simple requests"


def test_without_a_choice_there_is_no_reason() -> None:
    """One model, or none that is served."""
    unserved = ModelChoice("gone", ())
    assert select((SMALL,), Asked("simple")).why == "small: it is for simple requests"
    assert select((ModelChoice("one", ("o@1",)),), Asked("complex", saving=BATTERY)) == Selection(("o@1",), 1)
    assert select((unserved,), Asked()) == Selection(())


def test_why_the_agent_got_its_model_is_told_with_what_claims_the_request() -> None:
    """Only while that model is the first: what took another one's place has its own reasons."""
    given = replace(MIDDLE, given="middle: the primary model")
    assert select((given,), Asked()).why == "middle: the primary model"
    assert select((given, SMALL), Asked()).why == "middle: the primary model"
    assert select((given, SMALL), Asked("complex")).why == "middle: the primary model, it is for complex requests"
    assert select((given, SMALL), Asked("simple")).why == "small: it is for simple requests"
    full = {"m@1": "middle needs 4.0 GB, and 2.0 GB can be had now"}
    assert select((given, SMALL), Asked(starved=full)).why == f"small: {full['m@1']}"
    assert select((replace(given, endpoints=()), SMALL), Asked()).why == "small: middle is not served"


@pytest.mark.parametrize(
    ("choices", "complexity", "why"),
    [
        ((LARGE,), "simple", "large: none of the agent's models is for simple requests"),
        ((LARGE, MIDDLE), "simple", "large: none of the agent's models is for simple requests"),
        ((LARGE, replace(SMALL, endpoints=())), "simple", "large: small, which is for simple requests, is not served"),
        (
            (replace(LARGE, endpoints=()), SMALL),
            "complex",
            "small: large, which is for complex requests, is not served",
        ),
        ((replace(MIDDLE, complexity=frozenset()),), "simple", ""),
    ],
)
def test_a_model_that_is_meant_for_others_is_told(choices: tuple[ModelChoice, ...], complexity: str, why: str) -> None:
    """None claims what the request is, or the one that does is not there."""
    assert select(choices, Asked(complexity)).why == why


def test_endpoints_of_equal_rank_are_those_of_the_first_model_that_are_able() -> None:
    """What cannot do tools is left out, and no longer counts."""
    assert select(ALL, Asked()).equals == 2
    assert select(ALL, Asked("simple")).equals == 1
    assert select(ALL, Asked()).only(["l@2", "s@1"]) == Selection(("l@2", "s@1"), 1)
    assert select(ALL, Asked()).only([]) == Selection((), 1)


claims = st.frozensets(st.sampled_from(["simple", "moderate", "complex"]))
sizes = st.none() | st.integers(1, 40).map(lambda count: count * GB)


@st.composite
def choices(draw: st.DrawFn) -> tuple[ModelChoice, ...]:
    """Up to five models with one or two endpoints each."""
    made = []
    for number in range(draw(st.integers(1, 5))):
        endpoints = tuple(f"{number}@{count}" for count in range(draw(st.integers(1, 2))))
        made.append(ModelChoice(str(number), endpoints, draw(sizes), 1, draw(claims), secondary=draw(st.booleans())))
    return tuple(made)


asked = st.builds(
    Asked,
    st.sampled_from(["", "simple", "moderate", "complex"]),
    st.sampled_from(["interactive", "bulk"]),
    st.sampled_from(["", BATTERY]),
    st.dictionaries(st.sampled_from(["0@0", "1@0", "2@0"]), st.just("no room")),
)


@given(choices(), asked)
def test_a_choice_only_reorders_and_a_change_has_a_reason(models: tuple[ModelChoice, ...], wanted: Asked) -> None:
    """No endpoint is lost or added, and where the manifest's order is left, it is said why."""
    found = select(models, wanted)
    listed = tuple(endpoint for model in models for endpoint in model.endpoints)
    assert sorted(found.endpoints) == sorted(listed)
    if found.endpoints[0] != listed[0]:
        assert found.why


@given(choices(), asked)
def test_the_smallest_model_that_claims_the_request_is_first(models: tuple[ModelChoice, ...], wanted: Asked) -> None:
    """Unless it has no room in memory now, or the secondary spares the battery."""
    able = [
        model for model in models if wanted.complexity in model.complexity and model.endpoints[0] not in wanted.starved
    ]
    if not able or wanted.saving:
        return
    known = [model.memory for model in able if model.memory is not None]
    first = next(model for model in models if model.endpoints[0] == select(models, wanted).endpoints[0])
    assert wanted.complexity in first.complexity
    assert first.memory == (min(known) if known else None)


MODELS = {
    "large": model_spec("large", complexity=["complex"]),
    "small": model_spec("small", complexity=["simple"], secondary=True),
}
TWO = Wanted(
    [agent_spec("orders", models=["large", "small"])],
    models=MODELS,
    bound={"large": ("m@1",), "small": ("m@2",)},
)


@pytest.mark.anyio
async def test_a_run_tells_why_its_model_was_chosen() -> None:
    """In its result and in the step of the call; the other model stays as the fallback."""
    async with serving(TWO, simulated(["m"]), simulated(["m"])) as served:
        result = await served.run("what do you have?", complexity="simple")
        assert result.served_by == "m@2"
        assert result.why == "agent.orders: small: it is for simple requests"
        assert [step.detail["chosen"] for step in result.steps] == ["small: it is for simple requests"]
        plain = await served.run("what do you have?", id="run_2")
        assert (plain.served_by, plain.why) == ("m@1", "agent.orders: large: the agent names it first")


@pytest.mark.anyio
async def test_a_run_tells_why_its_agent_has_the_model() -> None:
    """What was decided when the manifest was resolved is told of each call that the model answers."""
    reason = "its tasks claim what the agent is specialised for"
    models = {"large": model_spec("large", fallback=["small"]), "small": model_spec("small", complexity=["simple"])}
    wanted = Wanted(
        [agent_spec("orders", models=["large"], model_why=reason)],
        models=models,
        bound={"large": ("m@1",), "small": ("m@2",)},
    )
    async with serving(wanted, simulated(["m"]), simulated(["m"])) as served:
        result = await served.run("what do you have?")
        assert (result.served_by, result.why) == ("m@1", f"agent.orders: large: {reason}")
        assert [step.detail["chosen"] for step in result.steps] == [f"large: {reason}"]
        other = await served.run("what do you have?", id="run_2", complexity="simple")
        assert (other.served_by, other.why) == ("m@2", "agent.orders: small: it is for simple requests")


@pytest.mark.anyio
async def test_the_chosen_model_falls_back_on_the_others() -> None:
    """A choice is an order, not a limit."""
    async with serving(TWO, simulated(["m"]), simulated(["m"], faults=["server-error@*"])) as served:
        result = await served.run("what do you have?", complexity="simple")
        assert (result.status, result.served_by) == ("completed", "m@1")
        chosen = "agent.orders: small: it is for simple requests"
        assert result.why == f"{chosen}; m@2 failed: {FAULT} (ORC527), and m@1 was asked"


@pytest.mark.anyio
async def test_a_model_whose_server_rests_is_told_whole_and_streamed() -> None:
    """Nothing of this run failed: earlier ones did. The step and the sentence say what was passed over, and why."""
    named = Wanted(
        [agent_spec("orders", models=["large"])],
        models={"large": model_spec("large", fallback=["small"]), "small": model_spec("small")},
        bound={"large": ("m@1",), "small": ("m@2",)},
    )
    async with serving(named, simulated(["m"], faults=["server-error@*"]), simulated(["m"])) as served:
        first = await served.run("hello", id="run_0")
        assert first.why == f"agent.orders: large: the agent names it; m@1 failed: {FAULT} (ORC527), and m@2 was asked"
        for number in range(1, 5):
            await served.run("hello", id=f"run_{number}")
        whole = await served.run("hello", id="run_5")
        streamed = await served.run("hello", id="run_6", listen=lambda _: None)
    for result in (whole, streamed):
        (step,) = result.steps
        assert (result.served_by, len(step.detail["passed"]), "attempts" in step.detail) == ("m@2", 1, False)
        assert step.detail["passed"][0].startswith("m@1 rests after failures (")
        assert result.why == f"agent.orders: large: the agent names it; {step.detail['passed'][0]}, and m@2 was asked"


@pytest.mark.anyio
async def test_what_the_device_cannot_give_now_is_asked_of_another() -> None:
    """The control plane tells it, and each run looks as it begins."""
    told = [
        Pressure(saving={"shop": BATTERY}),
        Pressure(saving={"other": BATTERY}),
        Pressure(starved={"m@1": "no room"}),
    ]
    async with serving(TWO, simulated(["m"]), simulated(["m"]), pressure=lambda: told.pop(0)) as served:
        ways = [await served.run("hello", id=f"run_{number}") for number in (1, 2, 3)]
        assert [way.served_by for way in ways] == ["m@2", "m@1", "m@2"]
        reasons = [f"small: {BATTERY}", "large: the agent names it first", "small: no room"]
        assert [way.why for way in ways] == [f"agent.orders: {why}" for why in reasons]


@pytest.mark.anyio
@pytest.mark.parametrize(("equals", "served"), [(2, ["m@1", "m@2"]), (1, ["m@1", "m@1"])])
async def test_servers_of_equal_rank_share_the_work(equals: int, served: list[str]) -> None:
    """A busy one is passed over for an idle equal; where they are no equals, the second request waits for the first."""
    one = Wanted([agent_spec("orders")], bound={"m": ("m@1", "m@2")}, slots=1, equals=equals)
    pace = Pace(ttft=0.05)
    async with serving(one, simulated(["m"], pace=pace), simulated(["m"], pace=pace)) as running:
        found: dict[str, Result] = {}

        async def ask(number: int) -> None:
            result = await running.run("hello", id=f"run_{number}")
            found[f"{result.served_by} {number}"] = result

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, 1)
            tasks.start_soon(ask, 2)
        assert sorted(each.served_by for each in found.values()) == served
    told = [found[name].why for name in sorted(found)]
    shared = "agent.orders: the least busy of 2 servers that have its model"
    assert told == ([shared, f"{shared}; m@1 works on 1 of 1 calls, and m@2 was asked"] if equals > 1 else ["", ""])


@pytest.mark.anyio
async def test_each_model_is_asked_with_its_own_options() -> None:
    """A fallback with the fallback's, not with those of the model that failed; what the agent says goes before both."""
    models = {
        "large": model_spec("large", options={"stop": ["END"], "temperature": 0.9}, fallback=["small"]),
        "small": model_spec("small", options={"top_p": 0.5, "temperature": 0.1, "max_tokens": 5}),
    }
    wanted = Wanted(
        [agent_spec("orders", models=["large"], max_tokens=77)],
        models=models,
        bound={"large": ("m@1",), "small": ("m@2",)},
    )
    first, second = simulated(["m"], faults=["model-missing@2-3"]), simulated(["m"])
    async with serving(wanted, first, second) as served:
        assert (await served.run("hello")).served_by == "m@1"
        assert (await served.run("hello", id="run_2")).served_by == "m@2"
        assert (await served.run("hello", id="run_3", options={"temperature": 0.4, "stop": "."})).served_by == "m@2"
    asked = [first.records[0].asked, *(record.asked for record in second.records)]
    told = [(each.stop, each.max_tokens, each.body["temperature"], each.body.get("top_p")) for each in asked]
    assert told == [(("END",), 77, 0.9, None), ((), 77, 0.1, 0.5), ((".",), 77, 0.4, 0.5)]
