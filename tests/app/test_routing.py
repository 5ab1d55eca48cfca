"""Trying the routers of a manifest: the cases that are read, the figures that come of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.app.compile import compile_files
from orchestrator.app.routing.cases import Case, read_cases
from orchestrator.app.routing.examine import Examined, Means, examine
from orchestrator.app.routing.figures import Figures, Share, Tried, below
from orchestrator.core.errors import UsageError
from orchestrator.core.request import Decision
from orchestrator.deploy.make import no_encoder

pytestmark = pytest.mark.anyio
NESTED = """\
metadata: {name: nested}
deployment:
  type: single-device
  agents:
    - name: front
      role: router
      stages: [rules, lexical]
      routes: [{to: money, when: {keywords: [cash]}}, hours]
    - name: money
      role: router
      stages: [rules, lexical]
      routes: [{to: refunds, when: {keywords: [refund]}}, {to: bills, when: {keywords: [bill]}}]
    - name: hours
      examples: [when do you open, are you open on sunday, until when can i come today]
      reflex: [{say: Nine to six.}]
    - name: refunds
      examples: [i want my money back, is a refund possible, pay back the price]
      reflex: [{say: 'Within 30 days.'}]
    - name: bills
      examples: [send me the bill, i need an invoice, where is my receipt]
      reflex: [{say: By mail.}]
"""


async def examined(folder: Path, *cases: Case, router: str = "", manifest: str = NESTED) -> dict[str, Examined]:
    """By router."""
    file = folder / "nested.yaml"
    file.write_text(manifest)
    found = await examine(compile_files([str(file)], environment={}).blueprint, cases, Means(no_encoder), router)
    return {one.router: one for one in found}


def written(folder: Path, name: str, text: str) -> str:
    """The path of a file of cases."""
    (folder / name).write_text(text)
    return str(folder / name)


# ---- cases ----------------------------------------------------------------------------------------------------------


def test_cases_are_a_list_in_yaml_or_json_or_one_a_line(tmp_path: Path) -> None:
    yaml = written(
        tmp_path, "a.yaml", "- {text: hello, agent: a}\n- {id: x, text: bye, agent: null, complexity: simple}\n"
    )
    flow = written(tmp_path, "b.json", '{"cases": [{"text": "hello", "agent": ["a", "b"]}]}')
    lines = written(
        tmp_path, "c.jsonl", '{"text": "hello", "agent": "a", "expect": {}}\n\n{"text": "bye", "agent": []}\n'
    )
    assert read_cases(yaml) == (Case(f"{yaml}, case 1", "hello", ("a",)), Case("x", "bye", (), "simple"))
    assert read_cases(flow) == (Case(f"{flow}, case 1", "hello", ("a", "b")),)
    assert read_cases(lines) == (Case(f"{lines}:1", "hello", ("a",)), Case(f"{lines}:3", "bye", ()))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.yaml", "hello", "is no list of cases"),
        ("a.yaml", "[]", "holds no case"),
        ("a.yaml", "- {text: a}\n- [", "a.yaml:2"),
        ("a.yaml", "- hello", "case 1: a case is a map"),
        ("a.yaml", "- {agent: a}", "case 1: `text` is missing"),
        ("a.yaml", "- {text: ' ', agent: a}", "case 1: `text` is empty"),
        ("a.yaml", "- {text: 5, agent: a}", "case 1: `text` is 5, which is no text: write it in quotes"),
        ("a.yaml", "- {text: [a], agent: a}", 'case 1: `text` is ["a"], which is no text'),
        ("a.yaml", "- {text: hello}", "case 1: `agent` is missing"),
        ("a.yaml", "- {text: hello, agent: 3}", "case 1: `agent` is 3, which is no name"),
        ("a.yaml", "- {text: hello, agent: [a, {}]}", "case 1: `agent` is {}, which is no name"),
        ("a.yaml", "- text: hello\n  agent: a\n  agent: b", 'a.yaml:3: the key "agent" stands twice'),
        ("a.json", '[{"text": "x", "agent": "a", "agent": "b"}]', 'a.json: the key "agent" stands twice'),
        ("a.jsonl", '{"text": "x", "agent": "a", "agent": "b"}', 'a.jsonl:1: the key "agent" stands twice'),
        ("a.yaml", "- {text: hello, agent: a, complexity: simpel}", "complexity 'simpel' is none"),
        ("a.jsonl", '{"text": "x", "agent": null}\n{', "a.jsonl:2: not JSON"),
    ],
)
def test_what_is_no_case_is_refused_with_its_place(name: str, text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        read_cases(written(tmp_path, name, text))
    assert told in raised.value.message
    assert raised.value.cure


def test_lines_end_at_their_line_end_only(tmp_path: Path) -> None:
    """Other signs that end a line for some are within a text for JSON, and are written as they are or as escapes."""
    texts = ["one\u2028two\x85three\x0bfour", "\U0001f600 and/or"]
    for name, between in (("a.jsonl", "\n"), ("b.jsonl", "\r\n"), ("c.json", ",")):
        for plain in (True, False):
            rows = [json.dumps({"text": text, "agent": "a"}, ensure_ascii=plain) for text in texts]
            whole = f"[{between.join(rows)}]" if name.endswith(".json") else between.join([*rows, ""])
            (tmp_path / name).write_bytes(whole.encode())
            assert [case.text for case in read_cases(str(tmp_path / name))] == texts, (name, plain)


def test_a_file_that_is_not_there_or_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    for name in ("none.yaml", "binary.yaml"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_cases(str(tmp_path / name))


# ---- figures --------------------------------------------------------------------------------------------------------


def test_the_interval_is_that_of_wilson() -> None:
    """Against the values of Newcombe (1998), table I."""
    low, high = Share(81, 263).interval
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    low, high = Share(0, 20).interval
    assert (round(low, 4), round(high, 4)) == (0.0, 0.1611)
    assert Share(0, 0).interval == (0.0, 1.0) and Share(0, 0).value is None


def tried(wanted: tuple[str, ...], choice: str | None, first: str | None) -> Tried:
    """One request."""
    return Tried("id", "text", wanted, Decision("lexical", choice), first)


def test_each_share_counts_its_own_requests() -> None:
    figures = Figures(
        (
            tried(("a",), "a", "a"),
            tried(("a", "b"), "b", "b"),
            tried(("a",), "b", "b"),
            tried(("a",), None, "a"),
            tried((), None, "a"),
            tried((), "a", "a"),
        )
    )
    assert figures.first_right == Share(3, 4)
    assert figures.decided == Share(3, 4)
    assert figures.decided_right == Share(2, 4)
    assert figures.refused == Share(1, 2)
    assert figures.confusion == {
        "a": {"a": 1, "b": 1, "(nobody)": 1},
        "b": {"b": 1},
        "(nobody)": {"(nobody)": 1, "a": 1},
    }
    assert [one.verdict for one in figures.failures] == ["wrong", "wrong", "unsure"]
    assert below(figures, 0.7) == ["right of what was decided: 50.0%, 70.0% is asked for"]
    assert below(figures, 0.5) == []
    assert below(Figures(()), 0.1) == ["there is no request to try"]


def test_requests_that_nobody_should_get_and_somebody_does_are_wrong_decisions() -> None:
    """Also where they are all that was tried; to leave them to nobody is under no share."""
    somebody, nobody = tried((), "a", "a"), tried((), None, "a")
    rightly = [tried(("a",), "a", "a")] * 6
    wrongly = Figures((*rightly, *[somebody] * 20))
    assert wrongly.decided_right == Share(6, 26)
    assert below(wrongly, 0.95) == ["right of what was decided: 23.1%, 95.0% is asked for"]
    assert below(Figures((somebody,)), 0.1) == ["right of what was decided: 0.0%, 10.0% is asked for"]
    assert below(Figures((nobody,)), 0.95) == []


# ---- routers --------------------------------------------------------------------------------------------------------


async def test_a_case_is_followed_from_router_to_router(tmp_path: Path) -> None:
    cases = (
        Case("1", "cash please, a refund", ("refunds",)),
        Case("2", "cash for the bill", ("money",)),
        Case("3", "the weather of tomorrow", ()),
        Case("4", "are you open on monday", ("hours",)),
        Case("5", "cash on the moon", ("refunds",)),
    )
    found = await examined(tmp_path, *cases)
    assert list(found) == ["front", "money"]
    assert found["money"].cases is None
    told = found["front"].cases
    assert told is not None
    assert [(one.decision.choice, one.first) for one in told.tried[:2]] == [("refunds", "refunds"), ("money", "money")]
    assert told.tried[2].verdict == "right"
    assert told.tried[3].first == "hours"
    assert told.tried[4].verdict == "unsure"


async def test_own_examples_are_tried_once_left_out_and_once_with_their_whole_agent_left_out(tmp_path: Path) -> None:
    found = await examined(tmp_path, router="money")
    assert list(found) == ["money"]
    own = found["money"].own
    assert own is not None
    assert (own.first_right.of, own.refused.of) == (6, 6)
    refund = next(one for one in own.tried if one.text == "is a refund possible")
    assert (refund.decision.choice, refund.verdict) == ("refunds", "right")


async def test_an_example_counts_once_whatever_number_of_routes_lead_to_its_agent(tmp_path: Path) -> None:
    """A second route with a condition, as the manual writes it, and the same words in another case change no figure."""
    plain = NESTED.replace("routes: [{to: money, when: {keywords: [cash]}}, hours]", "routes: [money, hours]")
    routes = "[{to: hours, when: {regex: '[0-9] ?pm'}}, {to: money, when: {regex: '[0-9] euro'}}, money, hours]"
    more = plain.replace("routes: [money, hours]", f"routes: {routes}").replace(
        "until when can i", "When do you open?, until when can i"
    )
    one, other = [(await examined(tmp_path, manifest=each))["front"].own for each in (plain, more)]
    assert one is not None and other is not None
    assert (one.first_right.of, one.refused.of) == (9, 9)
    missed = [sorted((each.text, each.wanted) for each in figures.failures) for figures in (one, other)]
    assert missed[0] == missed[1] and len(missed[0]) == len(set(missed[0]))
    shares = ("first_right", "decided", "decided_right", "refused")
    assert [getattr(other, name) for name in shares] == [getattr(one, name) for name in shares]


async def test_what_there_is_not_is_refused_with_what_is_near(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        await examined(tmp_path, router="frond")
    assert "front" in raised.value.cure
    with pytest.raises(UsageError) as raised:
        await examined(tmp_path, Case("7", "hello", ("refund",)))
    assert '7: no router sends requests to "refund"' in raised.value.message and "refunds" in raised.value.cure
    alone = "metadata: {name: one}\ndeployment:\n  type: single-device\n  agents: [{name: a, reflex: [{say: hello}]}]\n"
    with pytest.raises(UsageError, match="has no router"):
        await examined(tmp_path, manifest=alone)


async def test_a_strategy_that_learns_nothing_from_examples_is_tried_all_the_same(tmp_path: Path) -> None:
    manifest = NESTED.replace("      stages: [rules, lexical]\n", "      strategy: rules\n")
    found = await examined(tmp_path, manifest=manifest)
    own = found["money"].own
    assert own is not None and (own.decided.right, own.decided.of) == (2, 6)


async def test_a_stage_whose_encoder_is_on_a_server_is_left_out_and_that_is_told(tmp_path: Path) -> None:
    """No server is asked, so that the figures are the same everywhere."""
    manifest = NESTED.replace("type: single-device", "type: single-device\n  models: [nomic-embed-text]", 1)
    manifest = manifest.replace("stages: [rules, lexical]", "encoder: nomic-embed-text", 1)
    found = await examined(tmp_path, manifest=manifest)
    assert found["front"].strategy == "rules, keyword, lexical, semantic"
    assert "nothing learned: the encoder nomic-embed-text: no server is asked here" in found["front"].notes
    own = found["front"].own
    assert own is not None and own.first_right.of == 9


async def test_a_strict_way_is_closed_to_cases_as_to_requests(tmp_path: Path) -> None:
    """Whatever else would choose it, and whether it is tried at once or behind another router."""
    strict = NESTED.replace("{to: refunds, when: {keywords: [refund]}}", STRICT)
    cases = (Case("1", "cash please, a refund", ()), Case("2", "cash please, a refund, REF-1", ("refunds",)))
    for name in ("front", "money"):
        figures = (await examined(tmp_path, *cases, router=name, manifest=strict))[name].cases
        assert figures is not None
        assert [one.decision.choice != "refunds" for one in figures.tried] == [True, False], name


STRICT = "{to: refunds, strict: true, when: {regex: REF-1}, keywords: [refund]}"


async def test_cases_that_are_the_routers_own_examples_are_told(tmp_path: Path) -> None:
    """Of these it knows the answer."""
    new = Case("1", "are you open on monday", ("hours",))
    found = await examined(tmp_path, new, Case("2", "When do you open?", ("hours",)))
    note = (
        "1 case is in the very words of an example of the manifest: being right there says nothing of requests that the router "
        "has never seen"
    )
    assert note in found["front"].notes and note not in found["money"].notes
    assert not any("case" in note for note in (await examined(tmp_path, new))["front"].notes)
    again = await examined(tmp_path, new, Case("3", "Are you open on Monday", ("hours",)))
    assert "1 case repeats the text of another: of different requests the intervals are wider" in again["front"].notes
