"""Tuning: the search sees what the routers really do, figures are of requests that nothing was proposed from, patches are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from orchestrator.app.compile import compile_files
from orchestrator.app.routing.cases import Case, read_cases
from orchestrator.app.routing.examine import fit_router, routers_of
from orchestrator.app.routing.patch import patch_of
from orchestrator.app.routing.search import Setting, decided, settings
from orchestrator.app.routing.trying import stages_of
from orchestrator.app.routing.tune import Bench, Tuned, Wish, now_of, spec_with, tune
from orchestrator.core.errors import UsageError
from orchestrator.deploy.make import no_encoder, options_of
from orchestrator.plugins.encoders.local import open_local
from orchestrator.ports.encoder import OpenEncoder
from tests.app.test_routing import NESTED
from tests.app.tuned_shop import CASES, SHOP
from tests.encoders import tiny


def clock() -> float:
    """Computing takes no time here: what is cheaper is tried apart."""
    return 0.0


async def tuned(folder: Path, manifest: str, cases: list[Case], wish: Wish) -> tuple[dict[str, Tuned], list[str]]:
    """By router, and what was left out."""
    file = folder / "shop.yaml"
    file.write_text(manifest)
    found, left = await tune(
        Bench(compile_files([str(file)], environment={}).blueprint, no_encoder, clock), cases, wish
    )
    return {one.router: one for one in found}, left


async def seen_as_decided(folder: Path, manifest: str, encoder: OpenEncoder, orders: int) -> None:
    """Every order at some thresholds, against routers that learned anew."""
    file = anyio.Path(folder / "shop.yaml")
    await file.write_text(manifest)
    blueprint = compile_files([str(file)], environment={}).blueprint
    (spec,) = routers_of(blueprint)
    one = fit_router(spec, blueprint, encoder)
    cases = CASES[::4]
    stages = await stages_of(one, now_of(spec).stages, options_of(spec, encoder), cases, clock)
    found = settings(now_of(spec), stages, may_move=True)
    tried = [each for each in found if each.confidence in (None, 0.3, 0.8, 0.999)]
    assert len({each.stages for each in tried}) == orders
    for setting in tried:
        real = fit_router(spec_with(spec, setting), blueprint, encoder)
        for at, case in enumerate(cases):
            decision = await real.strategy.decide(real.question(case.text))
            assert decided(setting, stages, at)[0] == decision.choice, (setting, case.text)


@pytest.mark.anyio
async def test_the_search_sees_what_every_cascade_really_decides(tmp_path: Path) -> None:
    """``keyword`` and ``lexical``: each alone, and both ways round."""
    await seen_as_decided(tmp_path, SHOP, no_encoder, 4)


@pytest.mark.anyio
async def test_it_sees_the_same_with_an_encoder(tmp_path: Path) -> None:
    """The eleven orders in which ``semantic`` is."""
    folder = str(tiny.folder(tmp_path))
    encoder = open_local(folder, tmp_path / "written")
    manifest = SHOP.replace("role: router", f"role: router\n      encoder: {folder}")
    await seen_as_decided(tmp_path, manifest, lambda _: encoder, 11)


@pytest.mark.anyio
async def test_it_finds_the_threshold_that_a_router_is_too_careful_without(tmp_path: Path) -> None:
    found, left = await tuned(tmp_path, SHOP, CASES, Wish(0.9))
    front = found["front"]
    assert left == [] and front.comparison.better and front.proposed is not None and front.proposed_measured is not None
    now, then = front.now_measured.figures, front.proposed_measured.figures
    assert then.decided.right > now.decided.right
    assert (then.decided_right.value or 0) >= 0.9
    assert front.from_ + front.now_measured.of == len(CASES)
    assert front.curves and all(of.of == front.now_measured.of for points in front.curves.values() for _, of in points)


@pytest.mark.anyio
async def test_what_it_proposed_it_does_not_propose_again(tmp_path: Path) -> None:
    found, _ = await tuned(tmp_path, SHOP, CASES, Wish(0.9))
    proposed = found["front"].proposed
    assert proposed is not None and proposed.confidence is not None
    written = SHOP.replace("role: router", f"role: router\n      confidence: {proposed.confidence}")
    again, _ = await tuned(tmp_path, written, CASES, Wish(0.9))
    assert (again["front"].comparison.better, again["front"].comparison.why) == (
        False,
        "the present one is the best that was found",
    )


@pytest.mark.anyio
async def test_a_lower_target_loses_no_proposal_that_keeps_to_it(tmp_path: Path) -> None:
    """With these halves the boldest settings that the search finds for two of the targets miss it on the other half. Words alone,
    and too careful ones: what they take from a model that nobody asked is no gain."""
    folder = Path(__file__).parents[2] / "examples" / "mixed-office"
    words = anyio.Path(tmp_path / "words.yaml")
    await words.write_text(
        "deployment: {agents: [{name: front, stages: [rules, keyword, lexical], confidence: 99.9%}]}\n"
    )
    files = [str(folder / "office.yaml"), str(words)]
    bench = Bench(compile_files(files, environment={}).blueprint, no_encoder, clock)
    cases = read_cases(str(folder / "requests.jsonl"))
    right: list[int] = []
    notes: list[str] = []
    for target in (0.95, 0.93, 0.9, 0.85, 0.8):
        (front,), _ = await tune(bench, cases, Wish(target, seed=4))
        assert front.comparison.better and front.proposed_measured is not None, (target, front.comparison.why)
        share = front.proposed_measured.figures.decided_right
        assert (share.value or 0) >= target
        right.append(front.proposed_measured.figures.decided_right.right)
        notes += front.notes
    assert right == sorted(right)
    assert any("the target on the requests that it is measured on" in note for note in notes)


@pytest.mark.anyio
async def test_a_keyword_that_misleads_is_found_and_its_stage_goes_behind_or_away(tmp_path: Path) -> None:
    """Half of all requests say "my"."""
    agent = f"    - name: {CASES[0].wanted[0]}\n"
    found, _ = await tuned(tmp_path, SHOP.replace(agent, f"{agent}      keywords: [my, the]\n"), CASES, Wish(0.9))
    front = found["front"]
    assert front.comparison.better and front.proposed is not None, front.comparison
    assert "wrong decisions fewer" in front.comparison.why
    assert front.proposed.stages in (("rules", "lexical"), ("rules", "lexical", "keyword"))
    diff, by_hand = patched(tmp_path, {"shop.yaml": SHOP}, front.proposed)
    assert by_hand == [] and f"+      stages: [{', '.join(front.proposed.stages)}]" in diff


@pytest.mark.anyio
async def test_a_target_that_nothing_reaches_is_told(tmp_path: Path) -> None:
    names = sorted({name for case in CASES for name in case.wanted})
    turned = [Case(case.id, case.text, tuple(names[names.index(name) - 1] for name in case.wanted)) for case in CASES]
    found, _ = await tuned(tmp_path, SHOP, turned, Wish(0.95))
    assert not found["front"].comparison.better and found["front"].proposed is None
    assert "reaches the target" in found["front"].comparison.why


@pytest.mark.anyio
async def test_too_few_cases_are_refused_with_the_number_that_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="39 cases that it answers are too few: 40 are needed for 95%"):
        await tuned(tmp_path, SHOP, [case for case in CASES if case.wanted][:39], Wish(0.95))


@pytest.mark.anyio
async def test_requests_that_a_log_repeats_are_no_more_than_one(tmp_path: Path) -> None:
    """Else they would be measured on what was proposed from them."""
    six = [case for case in CASES if case.wanted][:60:10]
    with pytest.raises(UsageError, match=r"6 cases that it answers are too few.*174 cases repeat the text of another"):
        await tuned(tmp_path, SHOP, six * 30, Wish(0.9))
    again, _ = await tuned(tmp_path, SHOP, [*CASES, *CASES[:7]], Wish(0.9))
    once, _ = await tuned(tmp_path, SHOP, CASES, Wish(0.9))
    assert again["front"].notes == ("7 cases repeat the text of another: each text counts once", *once["front"].notes)
    tried = [[each.id for each in found["front"].now_measured.figures.tried] for found in (again, once)]
    assert tried[0] == tried[1]


@pytest.mark.anyio
async def test_a_router_without_thresholds_and_one_that_there_is_not_are_refused(tmp_path: Path) -> None:
    sharing = SHOP.replace("role: router", "role: router\n      strategy: round-robin")
    with pytest.raises(UsageError, match="round-robin has no threshold"):
        await tuned(tmp_path, sharing, CASES, Wish(0.9))
    with pytest.raises(UsageError, match='no router is called "fornt"') as raised:
        await tuned(tmp_path, SHOP, CASES, Wish(0.9, router="fornt"))
    assert "front" in raised.value.cure


@pytest.mark.anyio
async def test_a_router_behind_another_is_tuned_on_its_own_cases(tmp_path: Path) -> None:
    """``money`` gets those of ``refunds`` and ``bills``; at ``front`` they are wanted by ``money``."""
    texts = {"refunds": "give me a refund", "bills": "send the bill", "hours": "are you open on sunday"}
    cases = [Case(f"{name} {at}", f"{text} {at}", (name,)) for name, text in texts.items() for at in range(12)]
    found, left = await tuned(tmp_path, NESTED, cases, Wish(0.9))
    assert left == []
    assert found["front"].now_measured.of + found["front"].from_ == 36
    assert found["money"].now_measured.of + found["money"].from_ == 24
    assert {one.wanted for one in found["front"].now_measured.figures.tried} == {("money",), ("hours",)}


def patched(folder: Path, texts: dict[str, str], setting: Setting, router: str = "front") -> tuple[str, list[str]]:
    """The diff, with the folder taken out, and what must be written by hand."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    files = [str(folder / name) for name in texts]
    patch = patch_of(compile_files(files, environment={}), {router: setting}, {})
    return patch.diff().replace(f"{folder}/", ""), patch.by_hand


def test_a_patch_sets_stages_and_threshold_of_a_router_that_is_written(tmp_path: Path) -> None:
    diff, by_hand = patched(tmp_path, {"shop.yaml": SHOP}, Setting(("rules", "lexical"), 0.5))
    assert by_hand == []
    assert [line for line in diff.splitlines() if line[:1] == "+"] == [
        "+++ shop.yaml",
        "+      stages: [rules, lexical]",
        "+      confidence: 50%",
    ]


def test_a_manifest_with_questions_in_brackets_gets_its_patch(tmp_path: Path) -> None:
    """As README.md and docs/routing.md write them."""
    asked = "[when do you open?, are you open on sunday?, until when can i come today?]"
    text = NESTED.replace("[when do you open, are you open on sunday, until when can i come today]", asked)
    assert asked in text
    diff, by_hand = patched(tmp_path, {"nested.yaml": text}, Setting(("rules", "lexical"), 0.5))
    assert by_hand == [] and "\n+      confidence: 50%\n" in diff


def test_several_routers_of_a_file_get_theirs_each_at_its_own_place(tmp_path: Path) -> None:
    """Though lines are added above."""
    file = tmp_path / "nested.yaml"
    file.write_text(NESTED.replace("role: router", "role: router\n      confidence: 90%"))
    wanted = {
        "front": Setting(("rules", "lexical", "keyword"), 0.5),
        "money": Setting(("rules", "keyword", "lexical"), 0.6),
    }
    patch = patch_of(compile_files([str(file)], environment={}), wanted, {})
    assert patch.by_hand == []
    patch.write()
    specs = {spec["name"]: now_of(spec) for spec in routers_of(compile_files([str(file)], environment={}).blueprint)}
    assert specs == wanted


def test_one_that_must_be_written_by_hand_leaves_the_others(tmp_path: Path) -> None:
    file = tmp_path / "nested.yaml"
    file.write_text(NESTED.replace("role: router", "role: router\n      confidence: ${SURE:-90%}", 1))
    stages = ("rules", "lexical")
    wanted = {"front": Setting(stages, 0.5), "money": Setting(stages, 0.6)}
    patch = patch_of(compile_files([str(file)], environment={}), wanted, {})
    assert len(patch.by_hand) == 1 and patch.by_hand[0].startswith("router front: write `confidence: 50%` by hand")
    assert "confidence: 60%" in patch.diff() and "50%" not in patch.diff()


def test_a_strategy_that_gets_stages_becomes_a_cascade(tmp_path: Path) -> None:
    alone = SHOP.replace("role: router", "role: router\n      strategy: lexical  # words")
    diff, _ = patched(tmp_path, {"shop.yaml": alone}, Setting(("keyword", "lexical"), None))
    assert (
        "-      strategy: lexical  # words\n+      strategy: cascade  # words\n+      stages: [keyword, lexical]"
        in diff
    )


def test_of_several_files_the_one_is_changed_that_says_it(tmp_path: Path) -> None:
    over = "deployment:\n  agents:\n    - {name: front, confidence: 90%}\n"
    diff, by_hand = patched(
        tmp_path, {"shop.yaml": SHOP, "over.yaml": over}, Setting(("rules", "keyword", "lexical"), 0.5)
    )
    assert by_hand == []
    assert "--- over.yaml" in diff and "+    - {name: front, confidence: 50%}" in diff and "shop.yaml" not in diff


def test_a_router_that_was_added_gets_the_default_of_all_routers(tmp_path: Path) -> None:
    bare = SHOP.replace("    - name: front\n      role: router\n", "")
    diff, by_hand = patched(tmp_path, {"shop.yaml": bare}, Setting(("rules", "keyword", "lexical"), 0.5), "router")
    assert by_hand == [] and "+  routing: {confidence: 50%}\n" in diff
    diff, by_hand = patched(tmp_path, {"shop.yaml": bare}, Setting(("lexical",), 0.5), "router")
    assert diff == "" and "is not written in the manifest" in by_hand[0] and "stages: [lexical]" in by_hand[0]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_manifest_in_json_stays_json(indent: int | None, tmp_path: Path) -> None:
    """With a key that is there, with new ones, and with the router that was added."""
    plain = yaml.safe_load(SHOP)
    front = plain["deployment"]["agents"][0]
    file = tmp_path / "shop.json"
    for fields, setting in (
        ({}, Setting(("rules", "lexical"), 0.5)),
        ({"confidence": "90%", "stages": ["lexical"]}, Setting(("rules", "lexical"), 0.5)),
        ({"confidence": 0.9}, Setting(("rules", "keyword", "lexical"), 0.5)),
    ):
        file.write_text(json.dumps(_with_front(plain, {**front, **fields}), indent=indent))
        patch = patch_of(compile_files([str(file)], environment={}), {"front": setting}, {})
        assert patch.by_hand == [] and patch.write() == [str(file)]
        written = json.loads(file.read_text())["deployment"]["agents"][0]
        assert written["confidence"] == "50%" and written.get("stages", list(setting.stages)) == list(setting.stages)
    file.write_text(json.dumps(_with_front(plain), indent=indent))
    setting = Setting(("rules", "keyword", "lexical"), 0.5)
    patch = patch_of(compile_files([str(file)], environment={}), {"router": setting}, {})
    patch.write()
    assert json.loads(file.read_text())["deployment"]["routing"] == {"confidence": "50%"}


def _with_front(plain: dict[str, Any], *front: dict[str, Any]) -> dict[str, Any]:
    """The manifest with another router before its agents, or none."""
    deployment = plain["deployment"]
    return {**plain, "deployment": {**deployment, "agents": [*front, *deployment["agents"][1:]]}}


def test_what_comes_from_a_variable_is_left_to_be_written_by_hand(tmp_path: Path) -> None:
    variable = SHOP.replace("role: router", "role: router\n      confidence: ${SURE:-90%}")
    diff, by_hand = patched(tmp_path, {"shop.yaml": variable}, Setting(("rules", "keyword", "lexical"), 0.5))
    assert diff == "" and "write `confidence: 50%` by hand" in by_hand[0] and "variable" in by_hand[0]


def test_a_file_that_has_changed_meanwhile_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    patch = patch_of(
        compile_files([str(file)], environment={}), {"front": Setting(("rules", "keyword", "lexical"), 0.5)}, {}
    )
    file.write_text(SHOP + "# later\n")
    with pytest.raises(UsageError, match="has changed meanwhile"):
        patch.write()
    assert file.read_text() == SHOP + "# later\n"
    file.write_text(SHOP)
    file.chmod(0o640)
    assert patch.write() == [str(file)]
    assert "confidence: 50%" in file.read_text() and file.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["shop.yaml"]


ASKING = SHOP.replace(
    "  agents:\n    - name: front\n      role: router\n",
    "  models: [{alias: m, provider: llama-cpp, model: m, endpoint: 'http://127.0.0.1:9'}]\n"
    "  agents:\n    - name: front\n      role: router\n      model: m\n",
)


@pytest.mark.anyio
async def test_what_a_model_is_asked_is_taken_from_it_by_no_proposal_that_did_not_ask_it(tmp_path: Path) -> None:
    """It may decide better than what would decide in its place; without the model the same router gets a proposal."""
    with_model, _ = await tuned(tmp_path, ASKING, CASES, Wish(0.9))
    without, _ = await tuned(tmp_path, SHOP, CASES, Wish(0.9))
    front = with_model["front"]
    assert "intent" in front.now.stages and without["front"].comparison.better
    assert not front.comparison.better and front.comparison.why.endswith("without --ask")


@pytest.mark.anyio
async def test_a_request_that_is_there_many_times_counts_once(tmp_path: Path) -> None:
    """As a log holds them: else the same words propose and measure."""
    few = [case for case in CASES if case.wanted][:39]
    with pytest.raises(UsageError, match="39 cases that it answers are too few"):
        await tuned(tmp_path, SHOP, few * 30, Wish(0.95))
    once, _ = await tuned(tmp_path, SHOP, CASES, Wish(0.9))
    again = [Case(f"{case.id} again", f"{case.text.upper()}!", case.wanted) for case in CASES]
    twice, _ = await tuned(tmp_path, SHOP, [*CASES, *again], Wish(0.9))
    assert twice["front"].notes[0] == f"{len(CASES)} cases repeat the text of another: each text counts once"
    assert twice["front"].proposed == once["front"].proposed and twice["front"].from_ == once["front"].from_
