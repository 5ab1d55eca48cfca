"""The mixed office: its labels, what it does without a model, what its page says of that, and the simulated models beside it."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter

import pytest

from benchmarks.local_share import EXAMPLE, MODELS, STATED, Arm, ask_office, succeeded
from benchmarks.office_models import Accuracy, Labelled, OfficeModel, read_requests
from orchestrator.app.report.tiers import tier_of
from orchestrator.core.served import served_run
from orchestrator.testing.asked import Asked
from orchestrator.testing.endpoint import SimulatedEndpoint

REQUESTS = read_requests(EXAMPLE / "requests.jsonl")

pytestmark = pytest.mark.anyio


def test_the_labels_are_whole() -> None:
    """45 of each area, half of them paraphrases, each with somebody or nobody, and with what its answer holds."""
    assert len(REQUESTS) == len({each.id for each in REQUESTS.values()}) == 225
    assert set(Counter(each.area for each in REQUESTS.values()).values()) == {45}
    assert Counter(each.wording for each in REQUESTS.values()) == {"plain": 110, "paraphrase": 115}
    for each in REQUESTS.values():
        assert each.agent == {"person": "person", "nobody": None}.get(each.needs, each.area), each.id
        assert bool(each.contains) == (each.needs in ("local", "larger")), each.id


async def test_without_a_model_it_does_what_its_page_says() -> None:
    """Rules alone: nearly all plain requests that stay local, hardly anything wrongly; and no figure is simulated."""
    office = await ask_office("no model at all", REQUESTS, None)
    sys.stdout.write("\n".join(office.failures()))
    assert not office.figures.calls
    assert (office.right(wording="plain", needs="local").value or 0) > 0.9
    page = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d+) (?:plain|paraphrases)" + r" \| ([\d.]+) %" * 3 + r" \|$", page, re.MULTILINE)
    assert told == [_row(office, wording) for wording in ("plain", "paraphrase")]


def _row(office: Arm, wording: str) -> tuple[str, ...]:
    came = [(request, result) for request, result in office.came if request.wording == wording]
    done = sum(succeeded(*each) for each in came)
    missed = [served_run(result.as_json()) for request, result in came if not succeeded(request, result)]
    handed = sum(tier_of(run, MODELS) in ("unsure", "person") for run in missed)
    counts = (done, handed, len(came) - done - handed)
    return str(len(came)), *(f"{100 * count / len(came):.1f}" for count in counts)


async def test_with_simulated_models_more_is_done_and_the_cloud_alone_keeps_nothing() -> None:
    """One draw of each arm; every call records where it ran."""
    office = await ask_office("the office", REQUESTS, STATED)
    cloud = await ask_office("the cloud alone", REQUESTS, STATED, all_cloud=True)
    assert (office.figures.local.value or 0) > 0.7 and cloud.figures.local.right == 0
    assert (office.right().value or 0) > 0.9 and (cloud.right().value or 0) > 0.9
    assert {call.zone for call in office.figures.calls} == {"node", "cloud"}
    assert {call.zone for call in cloud.figures.calls} == {"cloud"}


def model(stated: Accuracy, requests: dict[str, Labelled]) -> OfficeModel:
    answers = {text: request.answer for text, request in requests.items()}
    prompts = {"service": "You serve.", "mail": "You sort."}
    return OfficeModel(requests=requests, stated=stated, prompts=prompts, answers=answers, routes=0.8, notices=0.5)


def said(endpoint: SimulatedEndpoint, system: str, text: str) -> str:
    asked = Asked("m", [{"role": "system", "content": system}, {"role": "user", "content": text}])
    return endpoint.begin(asked, 0.0).text


def test_a_simulated_model_is_right_as_often_as_is_stated() -> None:
    """Apart for what needs a larger one; and of what came to the wrong agent it does nothing, which it notices half of the time."""
    easy = [Labelled(f"e{n}", f"easy {n}", "mail", "plain", "local", "mail", (f"fact {n}",)) for n in range(600)]
    hard = [Labelled(f"h{n}", f"hard {n}", "mail", "plain", "larger", "mail", (f"fact {n}",)) for n in range(600)]
    endpoint = SimulatedEndpoint(("m",), model(Accuracy(0.9, 0.4), {each.text: each for each in (*easy, *hard)}))
    for requests, expected in ((easy, 0.9), (hard, 0.4)):
        right = sum(said(endpoint, "You sort.", each.text) == each.answer for each in requests)
        assert abs(right / len(requests) - expected) < 0.06
    strange = Counter(said(endpoint, "You serve.", each.text) for each in easy)
    assert set(strange) == {"UNKNOWN", "wrong agent"} and abs(strange["UNKNOWN"] / len(easy) - 0.5) < 0.06


def test_a_simulated_router_says_only_what_it_was_offered() -> None:
    """Its choice is held to the list: where the right agent is not on it, nobody of it is right."""
    requests = [Labelled(f"e{n}", f"easy {n}", "mail", "plain", "local", "mail", (f"fact {n}",)) for n in range(300)]
    endpoint = SimulatedEndpoint(("m",), model(Accuracy(0.9, 0.4), {each.text: each for each in requests}))

    def chosen(text: str, names: list[str]) -> str:
        schema = {"type": "object", "properties": {"agent": {"type": "string", "enum": names}}}
        asked = Asked("m", [{"role": "user", "content": json.dumps({"request": text})}], schema=schema)
        return str(json.loads(endpoint.begin(asked, 0.0).text)["agent"])

    offered = Counter(chosen(each.text, ["service", "mail", "none"]) for each in requests)
    without = Counter(chosen(each.text, ["service", "desk", "none"]) for each in requests)
    assert set(without) == {"service", "desk", "none"}
    assert all(abs(share / len(requests) - 0.8) < 0.07 for share in (offered["mail"], without["none"]))
