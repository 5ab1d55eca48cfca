"""``explain``: the resolved manifest with its reasons, and what codes mean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.app.compile import compile_files, compile_loaded
from orchestrator.cli.view.explained import _leaves, _map, _remarks, written_out
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.codes.table import CODES
from orchestrator.manifest.load import load_texts
from orchestrator.manifest.parse import parse
from tests.cli.commands import ROOT, golden, here

SEEDS = ["single-device", "distributed-edge"]
MANIFESTS = [
    *(ROOT / "manifests" / f"{name}.yaml" for name in SEEDS),
    *sorted(ROOT.glob("examples/*/*.yaml")),
    *sorted((ROOT / "orchestrator" / "cli" / "starters").glob("*/*.yaml")),
]


SHORT = """\
metadata: {labels: {site: milan-2}}
deployment:
  type: single-device
  models:
    - {alias: phi-4-mini, primary: true, tasks: [conversation]}
    - {alias: qwen2.5-0.5b, secondary: true, tasks: [routing]}
  routing: {default: orders}
  agents:
    - name: orders
      specialized_for: order_tracking
      context: |
        Answer in one sentence.
        The price is in ${CURRENCY:-$$}.
      tools: [clock]
      reflex:
        - {when: {regex: "^hi$"}, say: "Hello: what is your order's number?"}
    - {name: returns, role: You are patient., timeout: 30s}
"""


def test_the_short_form_is_written_out_with_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the golden file: what was inferred says why."""
    (tmp_path / "shop.yaml").write_text(SHORT)
    monkeypatch.chdir(tmp_path)
    ran = here("explain", "manifest", "shop.yaml")
    assert ran.code == 0
    assert ran.out == golden("explain/shop.yaml", ran.out)


BUILDS = """\
# builds, best first for this device: models may take 4.8 GB (80% of 6.0 GB memory)
#   phi-4-mini
#     q4_k_m: 3.5 GB = 2.5 GB weights + 537 MB cache (4096 tokens assumed) + 479 MB server; the most faithful that fits
#     q8_0: 5.1 GB = 4.1 GB weights + 537 MB cache (4096 tokens assumed) + 479 MB server; more than models should take (4.8 GB)
#     f16: 8.7 GB = 7.7 GB weights + 537 MB cache (4096 tokens assumed) + 479 MB server; it can never fit
#   mine: its size is not known
"""


def test_builds_are_told_below_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their arithmetic and reasons, as remarks: the text is a manifest still. In JSON they stand beside it."""
    monkeypatch.chdir(tmp_path)
    models = "[phi-4-mini, {alias: mine, provider: ollama, model: mine}]"
    agent = "{name: a, instructions: x, model: [phi-4-mini, mine]}"
    text = f"deployment: {{type: single-device, hardware: {{memory: 6GB}}, models: {models}, agents: [{agent}]}}\n"
    (tmp_path / "shop.yaml").write_text(text)
    ran = here("explain", "manifest", "shop.yaml", "--builds")
    assert ran.out.endswith(BUILDS)
    (tmp_path / "again.yaml").write_text(ran.out)
    assert here("validate", "again.yaml").code == 0
    told = json.loads(here("explain", "manifest", "shop.yaml", "--builds", "--format", "json").out)
    assert told["builds"]["models"]["mine"] == [] and len(told["builds"]["models"]["phi-4-mini"]) == 3


@pytest.mark.parametrize("seed", SEEDS)
def test_every_inference_of_the_seeds_has_its_remark(seed: str) -> None:
    """None is lost on the way."""
    path = str(ROOT / "manifests" / f"{seed}.yaml")
    told = json.loads(here("explain", "manifest", path, "--format", "json").out)
    reasons = {one["why"] for one in told["inferences"]}
    out = here("explain", "manifest", path).out
    assert [why for why in reasons if f"# inferred: {why}" not in out] == []


def without_reasons(blueprint: Blueprint) -> Blueprint:
    """The same, where no agent says why it got its model."""
    elements = {
        address: replace(each, spec={key: value for key, value in each.spec.items() if key != "model_why"})
        for address, each in blueprint.elements.items()
    }
    return replace(blueprint, elements=elements)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_explained_means_the_same(manifest: Path) -> None:
    """The written-out manifest, loaded again in the same folder, compiles to the same blueprint; only why an agent got its
    model is gone, as the agent names it now."""
    text = here("explain", "manifest", str(manifest)).out
    before = compile_files([str(manifest)], environment={}).blueprint
    after = compile_loaded(load_texts({"explained.yaml": text}, manifest.parent.absolute(), {})).blueprint
    assert not any("model_why" in each.spec for each in after.elements.values())
    assert after.as_json() == without_reasons(before).as_json()


def test_places_say_where_each_value_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files laid over each other: places are shown without being asked for."""
    (tmp_path / "base.yaml").write_text(
        "deployment:\n  type: single-device\n  timeout: 20s\n  models: [phi-4-mini]\n  agents:\n    - name: a\n"
        "      model: phi-4-mini\n      instructions: hello\n"
    )
    (tmp_path / "site.yaml").write_text("deployment:\n  timeout: 5s\n")
    monkeypatch.chdir(tmp_path)
    out = here("explain", "manifest", "base.yaml", "site.yaml").out
    assert "  timeout: 5.0  # site.yaml:2\n" in out
    assert "      instructions: hello  # base.yaml:8\n" in out
    assert "# base.yaml" not in here("explain", "manifest", "base.yaml").out


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_value_has_a_reason_or_a_place(manifest: Path) -> None:
    """Its own, or that of the part that it stands in; nothing is there without either."""
    resolved = compile_files([str(manifest)], environment={}).resolved
    tree = written_out(resolved)
    remarks = _remarks(resolved, tree, places=True)
    bare = [path for path in _leaves(tree, ()) if not any(path[:length] in remarks for length in range(len(path) + 1))]
    assert bare == []


def test_names_in_the_short_form_have_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of an included file, and those that only another part mentions."""
    (tmp_path / "models.yaml").write_text("deployment:\n  models:\n    - phi-4-mini\n")
    (tmp_path / "shop.yaml").write_text(
        "include: [models.yaml]\ndeployment:\n  type: single-device\n  agents:\n    - orders\n"
        "    - name: desk\n      description: All else.\n      model: [qwen2.5-0.5b]\n      tools:\n        - clock\n"
    )
    monkeypatch.chdir(tmp_path)
    out = here("explain", "manifest", "shop.yaml").out
    assert "    - alias: phi-4-mini  # models.yaml:3\n" in out
    assert "    - name: orders  # shop.yaml:5\n" in out
    assert "    - alias: qwen2.5-0.5b  # inferred: an agent names it and the catalogue knows it (shop.yaml:8)\n" in out
    assert "    - name: clock  # inferred: agent.desk has it (shop.yaml:10)\n" in out
    assert "      role: specialist  # inferred: the default\n" in out


def test_the_json_form_lists_the_inferences() -> None:
    """For programs."""
    ran = here("explain", "manifest", str(ROOT / "manifests" / "single-device.yaml"), "--format", "json")
    told = json.loads(ran.out)
    assert told["manifest"]["deployment"]["type"] == "single-device"
    assert {"subject", "key", "value", "why"} == set(told["inferences"][0])


def test_the_full_form_shows_defaults_too() -> None:
    """What a key would be if it were written."""
    path = str(ROOT / "manifests" / "single-device.yaml")
    assert "history" not in here("explain", "manifest", path).out
    full = yaml.safe_load(here("explain", "manifest", path, "--full").out)
    assert full["deployment"]["timeout"] == 120.0


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=30) | st.sampled_from(
    [
        "yes",
        "No",
        "null",
        "~",
        "1.5",
        "0x10",
        "012",
        "- a",
        "a: b",
        "#x",
        "${A}",
        "$$",
        "a\nb",
        "a\n\n b\n",
        "  x",
        "x ",
        "",
    ]
)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        TEXTS
        | st.integers(-99, 99)
        | st.booleans()
        | st.lists(TEXTS, max_size=4)
        | st.lists(st.dictionaries(st.just("k"), TEXTS), max_size=2),
    )
)
def test_every_value_reads_back_the_same(tree: dict[str, object]) -> None:
    """Whatever stands in it: our reader and any other of YAML 1.1 see the same values."""
    text = "\n".join(_map(tree, (), {})) + "\n"
    plain = text.replace("$$", "$") if "$$" in text else text
    if not tree:
        return
    assert parse("x", text).tree is not None
    if "$" not in text:
        assert parse("x", text).tree == tree
        assert yaml.safe_load(text) == tree
    assert plain


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_explained(code: str) -> None:
    """Title, reason and cure."""
    ran = here("explain", "code", code.lower())
    known = CODES[code]
    assert ran.code == 0
    assert ran.out.startswith(f"{code}: {known.title}\n\n{known.why}\n\ncure: {known.cure}\n")


def test_all_codes_are_listed() -> None:
    """In the order of their families."""
    assert [line.split()[0] for line in here("explain", "code").out.splitlines()] == list(CODES)


def test_an_unknown_code_gets_the_nearest_one() -> None:
    """Wrong usage."""
    ran = here("explain", "code", "ORC3O1")
    assert ran.code == 64 and "did you mean" in ran.err
