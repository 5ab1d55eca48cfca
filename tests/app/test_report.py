"""Who answered, how much stayed local, and what that saved: the pure part."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.app.report.assumed import Assumed, read_amount, read_pair
from orchestrator.app.report.figures import Figures, Tokens, estimate, percentile
from orchestrator.app.report.tiers import NEARBY, TIERS, NamedModel, parameters_of, tier_of
from orchestrator.core.errors import UsageError
from orchestrator.core.message import Usage
from orchestrator.core.request import Result, StepRecord
from orchestrator.core.served import ServedCall, ServedRun, served_run
from orchestrator.gateway.reporting import models_of

SMALL = "ollama@127.0.0.1:11434/phi4-mini:3.8b"
LARGE = "ollama@127.0.0.1:11434/phi4:14b"
CLOUD = "openai@api.example/gpt-5-mini#0a1b2c"
OTHER = "llama-cpp@127.0.0.1:8080/mine"
MODELS = (
    NamedModel("phi-4-mini", frozenset({"phi4-mini:3.8b"}), "node"),
    NamedModel("gpt-5-mini", frozenset({"gpt-5-mini"}), "cloud", (0.25, 2.0)),
)

calls = st.builds(
    ServedCall,
    subject=st.sampled_from(["agent.desk", "router.front"]),
    endpoint=st.sampled_from([SMALL, LARGE, CLOUD, OTHER]),
    zone=st.sampled_from(["node", "lan", "cloud", ""]),
    prompt_tokens=st.integers(0, 10_000),
    completion_tokens=st.integers(0, 10_000),
    ms=st.floats(0, 1e6),
    fault=st.sampled_from(["", "Stalled"]),
)
runs = st.lists(
    st.builds(
        ServedRun,
        id=st.just("run_1"),
        finished=st.floats(0, 2e9),
        status=st.sampled_from(["completed", "unsure", "failed", "waiting", "of a later version"]),
        served_by=st.sampled_from(["reflex", "person", "", SMALL, LARGE, CLOUD, OTHER]),
        total_ms=st.floats(0, 1e6),
        calls=st.lists(calls, max_size=4).map(tuple),
        estimated=st.booleans(),
    ),
    max_size=30,
).map(tuple)


def run(served_by: str, zone: str = "", status: str = "completed", **fields: int) -> ServedRun:
    made = ServedCall("agent.desk", served_by, zone, fields.get("read", 100), fields.get("written", 10), 1000.0)
    return ServedRun("run_1", 1.0, status, served_by, 5.0, (made,) if zone or "@" in served_by else ())


@given(runs)
def test_every_run_is_of_one_tier_and_what_is_local_is_nearby(given_runs: tuple[ServedRun, ...]) -> None:
    figures = Figures(given_runs, MODELS)
    assert sum(len(found) for found in figures.by_tier.values()) == len(given_runs)
    assert list(figures.by_tier) == list(TIERS)
    nearby = sum(len(figures.by_tier[tier]) for tier in NEARBY)
    assert figures.local.right + figures.touched_cloud == nearby
    low, high = figures.local.interval
    assert 0 <= low <= high <= 1


@given(runs, st.one_of(st.none(), st.floats(0, 500)))
def test_the_estimate_names_what_it_does_not_know(given_runs: tuple[ServedRun, ...], watts: float | None) -> None:
    """Never a number where a price, a power or a zone is missing, and plain JSON in any case."""
    figures = Figures(given_runs)
    found = estimate(figures, Assumed(watts=watts))
    assert found.baseline is None and found.electricity is None and found.cheaper is None
    in_cloud = [call for call in figures.calls if call.zone == "cloud"]
    unplaced = any(not call.zone for call in figures.calls)
    assert (found.spent is None) == (bool(in_cloud) or unplaced)
    worked = any(call.ms for call in figures.calls if call.zone in ("node", "lan"))
    assert (found.energy_wh is None) == (unplaced or (worked and watts is None))
    assert any("--cloud-price" in each for each in found.missing)
    told = json.loads(json.dumps(figures.as_json(Assumed(watts=watts)), allow_nan=False))
    assert told["runs"] == len(given_runs) and set(told["tiers"]) == set(TIERS)


@given(runs)
def test_a_run_survives_the_wire(given_runs: tuple[ServedRun, ...]) -> None:
    for each in given_runs:
        assert ServedRun.from_json(json.loads(json.dumps(each.as_json()))) == each


@given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0.01, 1.0))
def test_a_percentile_is_not_exceeded_by_its_share(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9


@pytest.mark.parametrize(
    ("served", "tier"),
    [
        (run("reflex"), "rule"),
        (run("person"), "person"),
        (run(SMALL, "node"), "small"),
        (run(SMALL, "lan"), "small"),
        (run(LARGE, "node"), "larger"),
        (run(OTHER, "node"), "unsized"),
        (run(SMALL, ""), "unplaced"),
        (run(SMALL, "cloud"), "cloud"),
        (run(CLOUD, "cloud"), "cloud"),
        (run("reflex", status="unsure"), "unsure"),
        (run("person", status="waiting"), "waiting"),
        (run(SMALL, "node", status="failed"), "failed"),
    ],
)
def test_who_answered(served: ServedRun, tier: str) -> None:
    """By what the run recorded: a model of the catalogue that a gateway took to the cloud is the cloud's."""
    assert tier_of(served, MODELS) == tier


@pytest.mark.parametrize(
    ("endpoint", "parameters"),
    [
        (SMALL, 3_836_021_760),
        ("llama-cpp@127.0.0.1:1/Some-Model-7B-Q4_K_M.gguf", 7e9),
        ("vllm@host:1/maker/model-350m", 350e6),
        ("vllm@host:1/qwen2.5-0.5b", 494_032_768),
        ("ollama@127.0.0.1:11434/gpt-4b2", None),
        (OTHER, None),
    ],
)
def test_how_large_a_model_is(endpoint: str, parameters: float | None) -> None:
    assert parameters_of(endpoint, MODELS) == parameters


def test_the_line_between_small_and_larger_can_be_moved() -> None:
    figures = Figures((run(SMALL, "node"), run(LARGE, "node")), MODELS, small_below=3e9)
    assert len(figures.by_tier["larger"]) == 2


def test_an_answer_nearby_after_a_call_to_the_cloud_is_not_local() -> None:
    judged = run(SMALL, "node")
    judged = replace(judged, calls=(*judged.calls, ServedCall("agent.desk", CLOUD, "cloud", 10, 1, 5.0)))
    figures = Figures((judged, run("reflex")), MODELS)
    assert (figures.local.right, figures.touched_cloud, len(figures.by_tier["small"])) == (1, 1, 1)


def test_the_estimate_with_all_that_is_known() -> None:
    """Nine requests nearby, one in the cloud: prices of the manifest, power of the device."""
    nearby = [run("reflex")] * 5 + [run(SMALL, "node", read=200, written=20)] * 4
    figures = Figures((*nearby, run(CLOUD, "cloud", read=1_000, written=100)), MODELS)
    found = estimate(figures, Assumed(watts=36.0, kwh_price=0.5))
    assert found.baseline_tokens == (360.0, 36.0)
    assert found.baseline == pytest.approx(10 * (360 * 0.25 + 36 * 2.0) / 1e6)
    assert found.spent == pytest.approx((1_000 * 0.25 + 100 * 2.0) / 1e6)
    assert found.energy_wh == pytest.approx(4 * 36.0 / 3600 + 0.24)
    assert found.electricity == pytest.approx(4 * 36.0 / 3600 / 1e3 * 0.5)
    assert found.baseline_wh == pytest.approx(2.4)
    assert found.cheaper == pytest.approx(0.001620 / (0.00045 + 0.00002))
    assert found.missing == ()


def test_what_nobody_answered_makes_the_cloud_alone_no_dearer() -> None:
    """It is no success to set beside an answer of the cloud; what it took here is spent all the same."""
    answered = (run(SMALL, "node"), run(CLOUD, "cloud", read=1_000, written=100))
    asked_back = replace(run(CLOUD, "cloud", read=1_000, written=100), status="unsure")
    few, more = Figures(answered, MODELS), Figures((*answered, asked_back), MODELS)
    assert (few.answered, more.answered) == (2, 2)
    assumed = Assumed(cloud_tokens=(400.0, 40.0), watts=36.0, kwh_price=0.5)
    before, after = estimate(few, assumed), estimate(more, assumed)
    assert after.baseline == before.baseline == pytest.approx(2 * (400 * 0.25 + 40 * 2.0) / 1e6)
    assert after.baseline_wh == before.baseline_wh == pytest.approx(0.48)
    assert after.spent == pytest.approx(2 * (before.spent or 0.0))
    assert after.cheaper is not None and before.cheaper is not None and after.cheaper < before.cheaper


def test_a_price_on_the_command_line_is_for_models_without_one() -> None:
    figures = Figures((run("openai@api.example/unknown", "cloud"),))
    assert estimate(figures, Assumed()).spent is None
    found = estimate(figures, Assumed(cloud_price=(1.0, 10.0), cloud_tokens=(100.0, 10.0)))
    assert found.spent == found.baseline == pytest.approx(200 / 1e6) and found.cheaper == pytest.approx(1.0)


def test_a_stored_run_is_read_without_its_words() -> None:
    """The time that a call waited for a slot is not the model's; a run that is older than zones has none."""
    detail = {"endpoint": SMALL, "queue_ms": 40.0, "zone": "lan", "prompt_tokens": 7, "completion_tokens": 3}
    steps = (
        StepRecord("route", "router.front", 0.0, 1.0, {}),
        StepRecord("model", "agent.desk", 1.0, 100.0, detail),
        StepRecord("model", "agent.desk", 1.0, 5.0, {"endpoint": SMALL, "queue_ms": 9.0, "fault": "Stalled"}),
        StepRecord("model", "agent.desk", 1.0, 5.0, {"endpoint": "", "queue_ms": 9.0, "fault": "NoModel"}),
    )
    result = Result("run_1", "shop", 1, "completed", "secret", steps=steps, usage=Usage(7, 3, 1), served_by=SMALL)
    found = served_run({**result.as_json(), "request": "secret", "finished": 12.0})
    assert found.calls == (
        ServedCall("agent.desk", SMALL, "lan", 7, 3, 60.0),
        ServedCall("agent.desk", SMALL, "", 0, 0, 0.0, "Stalled"),
    )
    assert "secret" not in json.dumps(found.as_json()) and found.finished == 12.0
    assert Tokens.of(found.calls) == Tokens(2, 7, 3, 60.0)


@pytest.mark.parametrize("written", ["1.25", "a/b", "1/", "-1/2", "nan/1", "1/inf"])
def test_a_price_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(UsageError, match="--cloud-price"):
        read_pair("--cloud-price", written)


def test_amounts_are_read() -> None:
    assert read_pair("--cloud-price", "1.25/10") == (1.25, 10.0) and read_pair("--cloud-price", None) is None
    assert math.isclose(read_amount("--watts", "45"), 45.0)


def test_models_and_prices_come_from_the_blueprint() -> None:
    """A model of the manifest as it is stored; a price where the manifest has one."""
    spec = {"alias": "mine", "ids": {"ollama": ["Mine:7b"], "*": ["mine"]}, "named": None, "zone": "cloud"}
    elements = [
        {"kind": "agent", "spec": {"name": "desk"}},
        {"kind": "model", "spec": spec},
        {"kind": "model", "spec": {**spec, "alias": "paid", "named": "big", "price": {"input": 0.25, "output": 2}}},
    ]
    free, paid = map(NamedModel.from_json, models_of(elements))
    assert free == NamedModel("mine", frozenset({"mine:7b", "mine"}), "cloud", None)
    assert paid == NamedModel("paid", frozenset({"mine:7b", "mine", "big"}), "cloud", (0.25, 2.0))
