"""Labels of a router's choices, as a user notes and sees them: one by one, from a file, in ``calibrate`` and ``routes test``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.app.client import RuntimeClient
from orchestrator.core.request import Request
from orchestrator.plugins.hosts.local import LocalHost
from tests.cli.commands import Ran, apart
from tests.cli.test_routes import MANIFEST

Run = Callable[..., Ran]
TEXT = "are you open on monday"
LABELS = 60


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a verb as a user whose runtime serves the shop."""
    environment = {"ORCHESTRATOR_HOME": str(tmp_path / "home"), "ORCHESTRATOR_SERVERS": "", "USER": "maria"}
    monkeypatch.setenv("ORCHESTRATOR_HOME", environment["ORCHESTRATOR_HOME"])

    def run(*words: str, stdin: str = "") -> Ran:
        return apart(*words, stdin=stdin, folder=tmp_path, environment=environment)

    (tmp_path / "shop.yaml").write_text(MANIFEST)
    assert run("apply", "shop.yaml").code == 0
    yield run
    assert run("runtime", "stop", "--drain", "1s").code == 0


def test_choices_are_labelled_fitted_and_told(shop: Run, tmp_path: Path) -> None:
    """A third of them was wrong, though the stage was surer: from then on the user reads what it is worth."""
    before = json.loads(shop("run", "shop", TEXT, "--json").out)
    (decision,) = before["decisions"]
    assert (decision["stage"], decision["choice"], decision["strategy"]) == ("lexical", "hours", "cascade")
    ran = shop("label", before["id"], "wrong", "--router", "front")
    assert ran.code == 0 and f"{before['id']}: the choice of front was wrong (lexical " in ran.out
    assert shop("label", before["id"], "wrong", "--router", "front", "--agent", "hours").code == 64
    ran = shop("label", before["id"], "right")
    assert ran.code != 0 and "whom the router chose is labelled with --router front." in ran.err
    few = shop("calibrate", "shop").out
    assert few.startswith("router front, lexical: 1 labelled decision\n")
    assert f"{50 - 1} more are needed to fit: until then its own confidence stands" in few

    client = RuntimeClient(LocalHost().folders())
    runs = [client.run("shop", Request(TEXT)).id for _ in range(LABELS)]
    cases = [{"run": run, "right": at % 3 > 0, "router": "front"} for at, run in enumerate(runs)]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
    ran = shop("calibrate", "shop", "--cases", "cases.jsonl", "--target", "60%")
    assert ran.err.startswith(f"{LABELS} labels noted, {LABELS * 2 // 3} of them right")
    assert f"router front, lexical: {LABELS + 1} labelled decisions\n" in ran.out
    assert "60% of what is decided is right, from where it decides now; calibration error " in ran.out
    assert "own confidence from  probability\n" in ran.out

    (decision,) = json.loads(shop("run", "shop", TEXT, "--json").out)["decisions"]
    assert decision["choice"] == "hours" and "by labels)" in decision["why"]
    assert abs(decision["confidence"] - 2 / 3) < 0.1 < decision["raw"] - decision["confidence"]
    shop("calibrate", "shop", "--target", "90%")
    (decision,) = json.loads(shop("run", "shop", TEXT, "--json").out)["decisions"]
    assert decision["choice"] is None and "not sure enough: hours" in decision["why"]

    tested = shop("routes", "test", "shop.yaml")
    told = f"lexical, by {LABELS + 1} labelled decisions: at no confidence is 90% of what is decided right: it decides nothing"
    assert told in tested.out
    (router,) = json.loads(shop("routes", "test", "shop.yaml", "--json").out)["routers"]
    assert [(each["stage"], each["server"], each["of"]) for each in router["refined"]] == [("lexical", "", LABELS + 1)]
    assert router["examples"]["decided"]["right"] < 12
    (tmp_path / "shop.yaml").write_text(MANIFEST.replace("is a refund possible", "is a refund possible, it broke"))
    assert "labelled" not in shop("routes", "test", "shop.yaml").out
