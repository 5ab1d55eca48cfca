"""``routes test``: what it prints, and when it fails."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.commands import golden, here
from tests.encoders.tiny import folder

MANIFEST = """\
metadata: {name: shop}
deployment:
  type: single-device
  agents:
    - name: front
      role: router
      stages: [rules, keyword, lexical]
      routes: [{to: hours, keywords: [opening hours]}, returns, {to: desk, when: {keywords: [complaint]}}]
    - name: hours
      description: Opening hours of the shop.
      examples: [when do you open, are you open on sunday, when do you close today, are you open in the evening]
      reflex: [{say: Nine to six.}]
    - name: returns
      description: Returns and refunds.
      examples: [i want to return this drill, can i return a lamp, can i get my money back, is a refund possible]
      reflex: [{say: 'Within 30 days.'}]
    - name: desk
      description: Opening hours of the desk.
      examples: [i have a complaint, let me speak to a person, i want to speak to the manager, a person please]
      reflex: [{say: 'Please ask at the desk.', unsure: true}]
"""
CASES = """\
- {text: are you open on monday, agent: hours}
- {text: may i return this lamp, agent: returns}
- {text: a complaint about the opening hours, agent: [hours, returns]}
- {id: far, text: how is the weather in Rome, agent: null}
- {id: odd, text: "bring it back\\u001b[2J", agent: returns}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest and its cases, in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(MANIFEST)
    Path("cases.yaml").write_text(CASES)


@pytest.mark.usefixtures("shop")
def test_it_prints_every_share_with_its_interval_and_every_failure() -> None:
    ran = here("routes", "test", "shop.yaml", "--cases", "cases.yaml")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == golden("routes/shop.txt", ran.out)
    assert "wrong " in ran.out and "unsure" in ran.out


@pytest.mark.usefixtures("shop")
def test_a_terminal_obeys_nothing_of_a_case() -> None:
    ran = here("routes", "test", "shop.yaml", "--cases", "cases.yaml", terminal=True)
    assert "\x1b[2J" not in ran.out


@pytest.mark.usefixtures("shop")
def test_json_holds_every_request_and_the_same_shares() -> None:
    ran = here("routes", "test", "shop.yaml", "--cases", "cases.yaml", "--json")
    told = json.loads(ran.out)
    (router,) = told["routers"]
    assert told["interval"] == "Wilson, 95 %"
    assert (router["router"], router["candidates"]) == ("front", 3)
    assert router["examples"]["first_right"]["of"] == 12 and router["cases"]["refused"] == {
        "right": 1,
        "of": 1,
        "share": 1.0,
        "interval": router["cases"]["refused"]["interval"],
    }
    assert [one["verdict"] for one in router["cases"]["requests"]] == ["right", "right", "wrong", "right", "unsure"]
    assert router["overlaps"][0]["texts"][0] == {
        "agent": "desk",
        "source": "description",
        "text": "Opening hours of the desk.",
    }


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("share", "code"), [("50%", 0), ("0.5", 0), ("99%", 1), ("1", 1)])
def test_it_fails_under_the_share_that_is_asked_for(share: str, code: int) -> None:
    ran = here("routes", "test", "shop.yaml", "--cases", "cases.yaml", "--fail-under", share)
    assert ran.code == code
    assert ("--fail-under: front: " in ran.err) is bool(code)


@pytest.mark.usefixtures("shop")
def test_without_cases_it_fails_by_the_routers_own_examples() -> None:
    """Those of which the whole agent was left out are for nobody, and count where somebody got them."""
    assert here("routes", "test", "shop.yaml", "--fail-under", "80%").code == 0
    ran = here("routes", "test", "shop.yaml", "--fail-under", "100%")
    assert ran.code == 1 and "right of what was decided: 81.8%" in ran.err
    Path("mixed.yaml").write_text(MANIFEST.replace("a person please", "is a refund possible today"))
    assert here("routes", "test", "mixed.yaml", "--fail-under", "80%").code == 1
    Path("bare.yaml").write_text(MANIFEST.replace("examples: [", "keywords: ["))
    ran = here("routes", "test", "bare.yaml", "--fail-under", "10%")
    assert (ran.code, ran.err) == (1, "--fail-under: front: there is no request to try\n")
    assert "its own examples: there are none" in ran.out


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--fail-under", "much"), "--fail-under much is no share"),
        (("--fail-under", "9000%"), "--fail-under 9000% is no share"),
        (("--router", "frond"), 'no router is called "frond"'),
        (("--cases", "none.yaml"), "the cases of none.yaml cannot be read"),
    ],
)
def test_wrong_usage_is_told_with_a_cure(words: tuple[str, ...], told: str) -> None:
    ran = here("routes", "test", "shop.yaml", *words)
    assert ran.code == 64
    assert told in ran.err and "cure: " in ran.err


@pytest.mark.parametrize("verb", ["routes test", "tune"])
def test_the_first_command_of_all_may_be_one_that_keeps_an_encoder(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it keeps is in the state folder, which it makes for its user alone, as every other command wants it."""
    home = tmp_path / "home"
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(home))
    folder(tmp_path / "tiny")
    (tmp_path / "shop.yaml").write_text(
        MANIFEST.replace("stages: [rules", "encoder: ./tiny\n      stages: [semantic, rules")
    )
    (tmp_path / "cases.yaml").write_text(CASES * 20)
    before = os.umask(0o022)  # the usual one: others may look into what is made without a mode
    try:
        first = here(*verb.split(), str(tmp_path / "shop.yaml"), "--cases", str(tmp_path / "cases.yaml"))
    finally:
        os.umask(before)
    assert list((home / "state").rglob("*.onnx")), first.err
    modes = {each: each.stat().st_mode & 0o777 for each in home.rglob("*") if each.is_dir()}
    assert set(modes.values()) == {0o700}
    assert here("plan", str(tmp_path / "shop.yaml")).code == 0
