"""``routes test --ask``: with the servers that answer now, for a router's model and for its encoder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.stated import StatedModel
from tests.cli.commands import Ran, here
from tests.cli.serving import answering
from tests.cli.test_routes import MANIFEST

CASES = {"are you there on monday": "hours", "take this lamp from me": "returns", "how is the weather": "none"}
ANSWERS = {
    json.dumps({"request": text}, ensure_ascii=False): json.dumps({"agent": name}) for text, name in CASES.items()
}
HEAD = "  agents:\n    - name: front\n      role: router\n"
MODELS = """\
  models:
    - {alias: small, provider: llama-cpp, model: small, endpoint: "WORDS"}
    - {alias: emb, provider: openai-compatible, model: emb, endpoint: "VECTORS/v1"}
"""


class Servers:
    """One for words and one for vectors, and what the command says."""

    def __init__(self) -> None:
        self.words = SimulatedEndpoint(("small",), StatedModel(answers=ANSWERS, accuracy=1.0))
        self.vectors = SimulatedEndpoint(("emb",))

    def test(self, *words: str) -> Ran:
        """On the cases."""
        return here(
            "routes", "test", "shop.yaml", "--cases", "cases.jsonl", *words, environment={"ORCHESTRATOR_SERVERS": ""}
        )


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """Both answer; nobody else is there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    lines = [json.dumps({"text": text, "agent": None if name == "none" else name}) for text, name in CASES.items()]
    Path("cases.jsonl").write_text("\n".join(lines))
    found = Servers()
    with answering(found.words, "llama-cpp") as words, answering(found.vectors, "openai") as vectors:
        models = MODELS.replace("WORDS", words).replace("VECTORS", vectors)
        Path("models.txt").write_text(models)
        yield found


def manifest(stages: str) -> None:
    """Of a router with these stages, that may ask both."""
    encoder = "      encoder: emb\n" if "semantic" in stages else ""
    head = f"{HEAD}      model: small\n{encoder}"
    text = MANIFEST.replace(HEAD, Path("models.txt").read_text() + head)
    Path("shop.yaml").write_text(text.replace("stages: [rules, keyword, lexical]", f"stages: [{stages}]"))


def test_the_routers_model_is_asked(servers: Servers) -> None:
    manifest("rules, intent")
    quiet = servers.test("--fail-under", "90%")
    assert not servers.words.records and quiet.code == 1
    ran = servers.test("--ask", "--fail-under", "90%")
    assert ran.code == 0, ran.out + ran.err
    assert "2 of 2" in ran.out and servers.words.records


def test_a_router_whose_encoder_is_on_a_server_is_measured(servers: Servers) -> None:
    manifest("semantic")
    quiet = json.loads(servers.test("--json").out)["routers"][0]
    assert quiet["examples"]["first_right"]["right"] == 0 and "no server is asked here" in quiet["notes"][0]
    ran = servers.test("--ask", "--json")
    asked = json.loads(ran.out)["routers"][0]
    assert asked["examples"]["first_right"]["right"] > 6, ran.out
    assert all(" sure" in each["why"] and "%" in each["why"] for each in asked["cases"]["requests"])


def test_servers_that_are_away_are_told(servers: Servers) -> None:
    manifest("semantic, intent")
    text = Path("shop.yaml").read_text()
    Path("shop.yaml").write_text(text.replace("127.0.0.1:", "127.0.0.2:"))
    ran = servers.test("--ask")
    assert ran.code == 0 and "nothing learned: the encoder emb: " in ran.out
    assert not servers.words.records
