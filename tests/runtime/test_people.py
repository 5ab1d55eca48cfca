"""A real runtime with people: killed at every point of what waits for them, nothing is lost, and no call is made twice."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import orchestrator.plugins.stores.sqlite  # noqa: F401 - declares its failpoints
from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.core.approval import Act, Verdict
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import ApprovalClosed, NoSuchApproval, RuntimeUnavailable
from orchestrator.core.failpoint import FAILPOINTS
from orchestrator.core.request import Request, Result
from orchestrator.deploy.wanted import Wanted
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Rule, Script
from tests.cli.serving import answering
from tests.people.hook import Hook, hooked
from tests.plan.parts import agent, blueprint, rule
from tests.runtime.living import Home, eventually

PAY = '''"""Pays, and writes down what it paid."""

from pathlib import Path


def pay(amount: int) -> str:
    """Pay."""
    with (Path(__file__).parent / "paid.txt").open("a") as file:
        file.write(f"{amount}\\n")
    return f"paid {amount}"
'''
CANARY = "my-secret-illness"


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A webhook of this test."""
    with hooked() as made:
        yield made


def shop(folder: Path, **people: Any) -> Blueprint:
    """A person, and an agent that pays by a rule; a router between them."""
    (folder / "pay.py").write_text(PAY)
    tool = {"name": "bank", "kind": "python", "options": {"python": "pay:pay"}, "allowed": [], "timeout": 5.0}
    pay = {**rule("{{ result }}"), "call": "bank.pay", "arguments": {"amount": "{{ n }}"}, "extract": {"n": "([0-9]+)"}}
    payer = agent("payer", tools=["bank"], reflex=[{**pay, "first": True}])
    person = agent("person", role="escalation", human={"queue": "desk", "say": "wait ({{ ticket }})"})
    made = blueprint({**tool, "approval": "always"}, payer, person, name="shop", entry="agent.person")
    return replace(made, folder=str(folder), people=people)


def paid(folder: Path) -> list[str]:
    """What was really paid."""
    path = folder / "paid.txt"
    return path.read_text().split() if path.exists() else []


def decide(client: RuntimeClient, approval: str, act: Act, text: str = "", by: str = "ana") -> None:
    """As a person who saw it."""
    client.decide(approval, Verdict(act, by, text, client.approval(approval)["digest"]))


@dataclass
class Story:
    """A question and a call, from the request to the end; it breaks off where the runtime dies."""

    client: RuntimeClient
    results: dict[str, Result] = field(default_factory=dict)
    decided: set[str] = field(default_factory=set)
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)

    def tell(self) -> None:
        with suppress(RuntimeUnavailable):
            for name in ("person", "payer"):
                request = Request(f"{name} 5", agent=name, session=name, id=f"run_{name}")
                self.results[name] = self.client.run("shop", request)
            for name, act in (("person", "answer"), ("payer", "approve")):
                decide(self.client, self.results[name].approval, act, "done")  # type: ignore[arg-type] # one of the acts, as a plain text
                self.decided.add(name)
            for name in self.results:
                self.ended[name] = self.client.wait(f"run_{name}", 20)


@pytest.mark.parametrize("point", sorted(point for point in FAILPOINTS if point.startswith("people.")))
def test_killed_there_nothing_that_waits_is_lost(home: Home, tmp_path: Path, hook: Hook, point: str) -> None:
    """What was acknowledged holds after the next start: the waiting, the verdict, the end; each run ends once, in its
    history and in its session, and pays at most once."""
    story = Story(home.start(ORCHESTRATOR_FAIL_AT=point))
    story.client.apply(Wanted(shop(tmp_path, notify={"webhook": {"url": hook.url}})))
    story.tell()
    assert home.processes[-1].wait(10) == -signal.SIGKILL, f"{point} was never passed"
    client = home.start()
    kept = {each["run"]: each for each in client.approvals(closed=True)}
    assert {result.id for result in story.results.values()} <= set(kept)
    assert {f"run_{name}" for name in story.decided} <= {
        run for run, each in kept.items() if each["state"] != "pending"
    }
    for name, act in (("person", "answer"), ("payer", "approve")):
        if f"run_{name}" not in kept:
            result = client.run("shop", Request(f"{name} 5", agent=name, session=name, id=f"run_{name}"))
            kept[result.id] = client.approval(result.approval)
        with suppress(ApprovalClosed):
            decide(client, kept[f"run_{name}"]["id"], act, "done")  # type: ignore[arg-type] # one of the acts, as a plain text
    answered, called = (client.wait(f"run_{name}", 20) for name in ("person", "payer"))
    assert (answered["status"], answered["text"]) == ("completed", "done")
    cut_off = point in ("people.begun", "people.before-record")
    if cut_off:
        assert (called["error"]["code"], paid(tmp_path)) == ("ORC543", ["5"][point == "people.begun" :])
    else:
        assert (called["text"], paid(tmp_path)) == ("paid 5", ["5"])
    assert _turns(home, "person")[-1] == "done"
    assert len(_turns(home, "person")) == 3
    assert len(_turns(home, "payer")) == (2 if cut_off else 3)
    eventually(lambda: {each["id"] for each in client.approvals(closed=True)} >= {got["approval"] for got in hook.told})
    assert all(each["delivered"] for each in client.approvals(closed=True))
    assert home.stop() == 0
    assert home.left_over() == []


def _turns(home: Home, session: str) -> list[str]:
    """What was said in a session, as it is on the disk."""
    with closing(sqlite3.connect(home.folders.state / "state.db")) as connection:
        sql = "SELECT t.message FROM turn t JOIN session s ON s.id = t.session WHERE s.name = ? ORDER BY t.seq"
        return [json.loads(row[0])["content"] for row in connection.execute(sql, (session,))]


def test_a_waiting_run_goes_on_after_a_stop_and_after_a_kill(home: Home, tmp_path: Path) -> None:
    """The verdict before it, and the verdict after it."""
    client = home.start()
    client.apply(Wanted(shop(tmp_path)))
    question, payment = (client.run("shop", Request(f"{name} 5", agent=name)) for name in ("person", "payer"))
    home.kill()
    client = home.start()
    decide(client, payment.approval, "approve")
    assert client.wait(payment.id, 20)["text"] == "paid 5"
    assert home.stop() == 0
    client = home.start()
    decide(client, question.approval, "answer", "soon")
    told = client.wait(question.id, 20)
    assert (told["text"], told["served_by"], told["revision"]) == ("soon", "person", 1)
    assert client.find_run(question.id)["text"] == "soon"
    assert home.stop() == 0


def test_who_waits_for_a_run_is_told_where_to_find_it_when_the_runtime_ends(home: Home, tmp_path: Path) -> None:
    """Killed or stopped: the run waits on, and nobody else can say so to whoever had asked."""
    client = home.start()
    client.apply(Wanted(shop(tmp_path)))
    waiting = client.run("shop", Request("person 5", agent="person"))
    told: list[RuntimeUnavailable] = []

    def wait() -> None:
        try:
            client.wait(waiting.id)
        except RuntimeUnavailable as error:
            told.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    eventually(lambda: client.status()["deployments"][0]["people"]["pending"] == 1)
    home.kill()
    waiter.join(20)
    (error,) = told
    assert error.message.startswith(f"{waiting.id} waits on, and goes on with the next start of the runtime")
    for found_by in ("approvals list", f"explain run {waiting.id}", "logs NAME"):
        assert f"orchestrator {found_by}" in error.cure
    client = home.start()
    decide(client, waiting.approval, "answer", "soon")
    assert client.wait(waiting.id, 20)["text"] == "soon"
    assert home.stop() == 0


def test_of_two_people_one_is_heard_and_a_replay_is_refused(home: Home, tmp_path: Path) -> None:
    """Whoever is second is told who was first; the call is made once."""
    client = home.start()
    client.apply(Wanted(shop(tmp_path)))
    waiting = client.run("shop", Request("pay 7", agent="payer"))
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def person(name: str) -> None:
        barrier.wait()
        try:
            decide(client, waiting.approval, "approve", by=name)
            outcomes.append(name)
        except ApprovalClosed as error:
            outcomes.append(error.code)

    people = [threading.Thread(target=person, args=(f"p{number}",)) for number in range(4)]
    for each in people:
        each.start()
    for each in people:
        each.join()
    assert sorted(outcomes)[:3] == ["ORC441"] * 3
    client.wait(waiting.id, 20)
    with pytest.raises(ApprovalClosed, match=r"is approved by p[0-3] already"):
        decide(client, waiting.approval, "approve")
    with pytest.raises(NoSuchApproval):
        client.approval("apv_nobody")
    assert paid(tmp_path) == ["7"]
    assert home.stop() == 0


def test_a_deployment_that_is_taken_down_ends_what_waits_once_it_is_decided(home: Home, tmp_path: Path) -> None:
    """Nothing is called; a question is answered all the same."""
    client = home.start()
    client.apply(Wanted(shop(tmp_path)))
    question, payment = (client.run("shop", Request(f"{name} 5", agent=name)) for name in ("person", "payer"))
    client.down("shop")
    decide(client, payment.approval, "approve")
    decide(client, question.approval, "answer", "soon")
    ended = client.wait(payment.id, 20)
    assert (ended["error"]["code"], paid(tmp_path)) == ("ORC543", [])
    assert client.wait(question.id, 20)["text"] == "soon"
    assert home.stop() == 0


def test_a_dead_webhook_stops_nothing_and_status_tells(home: Home, tmp_path: Path, hook: Hook) -> None:
    """It gets the id and no word of the request; a notice survives a restart."""
    hook.status = 500
    client = home.start()
    client.apply(Wanted(shop(tmp_path, notify={"webhook": {"url": hook.url}})))
    waiting = client.run("shop", Request(f"{CANARY} 5", agent="payer", session=CANARY, data_class="restricted"))
    eventually(lambda: client.status()["deployments"][0]["people"]["untold"] == 1)
    people = client.status()["deployments"][0]["people"]
    assert people == {"pending": 1, "untold": 1, "error": "the webhook answered 500"}
    (got,) = hook.told
    assert (got["approval"], got["function"], got["deployment"]) == (waiting.approval, "bank.pay", "shop")
    assert CANARY.encode() not in b"".join(body for _, body in hook.got)
    assert b'"5"' not in b"".join(body for _, body in hook.got)
    decide(client, waiting.approval, "approve")
    assert client.wait(waiting.id, 20)["text"] == "paid 5"
    assert client.status()["deployments"][0]["people"] is None
    assert home.stop() == 0
    logs = "".join(path.read_text() for path in (home.folders.state / "logs").rglob("*") if path.is_file())
    assert "approval.notified" in logs and CANARY not in logs


def test_what_expires_is_told_and_not_done(home: Home, tmp_path: Path) -> None:
    """By the clock of the device, with nobody there."""
    client = home.start()
    client.apply(Wanted(shop(tmp_path, expires=0.5)))
    waiting = client.run("shop", Request("pay 5", agent="payer"))
    ended = client.wait(waiting.id, 20)
    assert (ended["error"]["code"], paid(tmp_path)) == ("ORC541", [])
    assert client.approval(waiting.approval)["state"] == "expired"
    assert home.stop() == 0


def test_the_front_door_tells_how_a_run_that_waits_stands(home: Home, tmp_path: Path) -> None:
    """202 until it ends, then 200; it finds no other run, and decides nothing."""
    client = home.start()
    client.apply(Wanted(shop(tmp_path)))
    url = client.about()["url"]
    body = {"model": "shop/payer", "messages": [{"role": "user", "content": "pay 9"}]}
    status, told = _ask(f"{url}/chat/completions", body)
    about = told["orchestrator"]
    assert (status, about["status"]) == (200, "waiting")
    assert about["approval"] in told["choices"][0]["message"]["content"]
    assert _ask(f"{url}/runs/{told['id']}")[:1] == (202,)
    for foreign in ("run_nobody", told["id"][:8], "%25"):
        assert _ask(f"{url}/runs/{foreign}")[0] == 404
    assert _ask(f"{url}/approvals/{about['approval']}/approve", {})[0] == 404
    decide(client, about["approval"], "approve")
    client.wait(told["id"], 20)
    status, ended = _ask(f"{url}/runs/{told['id']}")
    assert (status, ended["status"], ended["text"], ended["error"]) == (200, "completed", "paid 9", None)
    assert home.stop() == 0


def _ask(url: str, body: Any = None) -> tuple[int, Any]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_an_approval_that_comes_into_the_manifest_holds_at_once(home: Home, tmp_path: Path) -> None:
    """Although nothing of the agent changed; and it goes again."""
    client = home.start()
    guarded = shop(tmp_path)
    element = guarded.elements["tool.bank"]
    free = {name: value for name, value in element.spec.items() if name != "approval"}
    unguarded = replace(guarded, elements={**guarded.elements, "tool.bank": replace(element, spec=free)})
    for wanted, status in ((unguarded, "completed"), (guarded, "waiting"), (unguarded, "completed")):
        client.apply(Wanted(wanted))
        assert client.run("shop", Request("pay 5", agent="payer")).status == status
    assert paid(tmp_path) == ["5", "5"]
    assert home.stop() == 0


BUYER = """\
deployment:
  type: single-device
  models: [{{alias: m, provider: openai-compatible, model: m, endpoint: '{url}'}}]
  tools: [{{name: bank, python: 'pay:pay', approval: always}}]
  agents: [{{name: buyer, instructions: You pay., model: m, tools: [bank], max_tokens: 50}}]
"""


def test_a_models_call_is_allowed_after_a_kill_and_the_model_goes_on(home: Home, tmp_path: Path) -> None:
    """Over HTTP: the conversation that its server gets then is the one that it left, with what the call gave."""
    (tmp_path / "pay.py").write_text(PAY)
    script = Script([Rule("pay", say="it said: {result}", calls=(("bank_pay", {"amount": 8}),))])
    endpoint = simulated(["m"], script)
    with answering(endpoint, "openai") as url:
        (tmp_path / "buyer.yaml").write_text(BUYER.format(url=url))
        wanted = compile_files([str(tmp_path / "buyer.yaml")], environment={}).blueprint
        client = home.start()
        client.apply(Wanted(wanted))
        waiting = client.run("buyer", Request("pay it", session="s"))
        assert (waiting.status, paid(tmp_path)) == ("waiting", [])
        asked = client.approval(waiting.approval)
        assert (asked["function"], asked["arguments"]) == ("bank.pay", {"amount": 8})
        home.kill()
        client = home.start()
        decide(client, waiting.approval, "approve")
        ended = client.wait(waiting.id, 30)
        assert (ended["status"], paid(tmp_path)) == ("completed", ["8"]), ended["error"]
        assert ended["text"] == "it said: paid 8"
        roles = [message["role"] for message in endpoint.records[-1].asked.messages]
        assert roles == ["system", "user", "assistant", "tool"]
        assert [step["kind"] for step in ended["steps"]] == ["model", "person", "tool", "model"]
        assert home.stop() == 0
