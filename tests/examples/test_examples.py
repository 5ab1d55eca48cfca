"""The examples on their labelled requests, with no model: what the README claims of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from examples.evaluation import HONEST, Case, Score, evaluate_example, judge
from orchestrator import Result

ROOT = Path(__file__).parents[2] / "examples"
MANIFESTS = [ROOT / "retail-kiosk" / "kiosk.yaml", ROOT / "customer-service" / "help-desk.yaml"]

pytestmark = pytest.mark.anyio


@pytest.fixture(params=MANIFESTS, ids=lambda path: path.parent.name)
async def scores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[Score]:
    monkeypatch.delenv("DESK_STATE", raising=False)
    found = await evaluate_example(request.param)
    sys.stdout.write("\n".join(map(str, found)))
    return found


async def test_requests_in_the_manifests_own_wording_are_answered_right(scores: list[Score]) -> None:
    """With no model at least 90 % of them are right."""
    assert scores[0].share("right") >= 0.90, str(scores[0])


async def test_paraphrases_are_answered_asked_back_about_or_passed_on(scores: list[Score]) -> None:
    """At least 90 % are right, are asked back about or reach a person; at most 5 % are confidently wrong; and at least a
    quarter is right, which a deployment that answers nothing cannot reach."""
    own, stub = scores[1], scores[-1]
    assert own.share(*HONEST) >= 0.90, str(own)
    assert own.share("wrong") <= 0.05, str(own)
    assert own.share("right") >= 0.25, str(own)
    assert stub.share("right") < 0.25, "what is out of scope alone would pass"
    assert stub.share(*HONEST) < 0.25, "sending everybody away is no help"


async def test_what_asks_for_several_things_or_excludes_some_is_never_answered_in_part_as_if_it_were_all(
    scores: list[Score],
) -> None:
    """Several items, money, exclusions, several orders: at least three quarters are right, and none confidently wrong."""
    assert scores[2].share("right") >= 0.75, str(scores[2])
    assert scores[2].share("wrong") == 0, str(scores[2])
    assert scores[2].share(*HONEST) == 1, str(scores[2])


def result(text: str, status: str = "unsure", served_by: str = "reflex", agent: str = "desk") -> Result:
    return Result("r", "d", 1, status, text, agent=agent, served_by=served_by)  # type: ignore[arg-type] # a literal


def test_each_verdict_is_told_apart() -> None:
    """By what the asker gets."""
    case = Case("1", "any batteries left?", ("inventory",), ("AA",))
    verdicts = {
        "right": result("AA: 3 in stock.", "completed", agent="inventory"),
        "asked": result("Do you look for a product?"),
        "escalated": result("Ticket T-1001.", "completed", "person"),
        "deflected": result("Please ask at the desk."),
        "wrong": result("A claw hammer.", "completed", agent="inventory"),
    }
    assert {name: judge(case, given).verdict for name, given in verdicts.items()} == {name: name for name in verdicts}
    assert judge(replace(case, lacks=("in stock",)), verdicts["right"]).verdict == "wrong"
    assert judge(Case("2", "a joke, please", (), ()), verdicts["deflected"]).verdict == "right"
    assert judge(Case("2", "a joke, please", (), ()), verdicts["wrong"]).verdict == "wrong"


class _Answers(BaseHTTPRequestHandler):
    """A model server of the OpenAI protocol, as far as one is looked for."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined] # ours, below
        body = json.dumps({"object": "list", "data": [{"id": "phi-4-mini", "object": "model"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@contextmanager
def model_server() -> Iterator[tuple[str, list[str]]]:
    """Its address, and the paths that were asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.asked = []  # type: ignore[attr-defined] # what the handler writes down
    thread = Thread(target=server.serve_forever)
    thread.start()
    with closing(server.socket):
        yield f"http://127.0.0.1:{server.server_port}", server.asked  # type: ignore[attr-defined] # as above
        server.shutdown()
        thread.join()


def test_the_documented_command_asks_no_server_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """With a model server on this device, and the user's own state."""
    example = ROOT / "customer-service"
    before = sorted(example.rglob("*"))
    with model_server() as (address, asked):
        environment = {
            **os.environ,
            "ORCHESTRATOR_HOME": str(tmp_path / "home"),
            "ORCHESTRATOR_SERVERS": address,
            "DESK_STATE": str(tmp_path / "desk"),
        }
        command = [sys.executable, "examples/evaluation.py", str(example / "help-desk.yaml")]
        done = subprocess.run(command, env=environment, cwd=ROOT.parent, capture_output=True, text=True, check=True)
    assert "customer-service paraphrases: 42 requests, right" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("a stub that sends everybody away: 42 requests")
    assert asked == []
    assert list(tmp_path.iterdir()) == []
    assert [path for path in sorted(example.rglob("*")) if "__pycache__" not in path.parts] == [
        path for path in before if "__pycache__" not in path.parts
    ]


async def test_requests_alone_are_enough() -> None:
    """The mixed office has neither paraphrases nor hard ones apart: the stub is asked the same."""
    own, stub = await evaluate_example(ROOT / "mixed-office" / "office.yaml")
    assert (own.name, len(own.scored), len(stub.scored)) == ("mixed-office requests", 225, 225)
    assert own.share("right") > 0.5 > 0.1 > stub.share("right")


def test_a_line_that_is_no_labelled_request_is_told_with_its_place(tmp_path: Path) -> None:
    manifest = (
        "metadata: {name: one}\ndeployment:\n  type: single-device\n  agents: [{name: a, reflex: [{say: hello}]}]\n"
    )
    (tmp_path / "one.yaml").write_text(manifest)
    right = '{"id": "1", "text": "hi", "agent": "a", "expect": {"contains": ["hello"]}}\n'
    (tmp_path / "requests.jsonl").write_text(right + '{"text": "hi", "agent": "a"}\n')
    command = [sys.executable, "examples/evaluation.py", str(tmp_path / "one.yaml")]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "requests.jsonl:2 is no labelled request" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "requests.jsonl").write_text(right)
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "requests: 1 requests, right 100.0%" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "told"), [(["--help"], 0, "usage: "), (["nowhere.yaml"], 2, "there is no file")]
)
def test_the_script_explains_itself(words: list[str], code: int, told: str) -> None:
    """And names a wrong path without a traceback."""
    command = [sys.executable, "examples/evaluation.py", *words]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == code and told in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
