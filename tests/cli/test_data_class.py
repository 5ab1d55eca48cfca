"""``--data-class``: what a request says of its own data, from the command line to the model server that gets it or does not."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator import Result, connect
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from tests.cli.commands import Ran, apart, here
from tests.cli.serving import answering

CANARY = "patient 4711"
Run = Callable[..., Ran]


@pytest.fixture
def cloud() -> SimulatedEndpoint:
    """The only model server there is; the manifest says that it is in the cloud."""
    return simulated(["m"])


@pytest.fixture
def orchestrator(cloud: SimulatedEndpoint, tmp_path: Path) -> Iterator[Run]:
    """Runs verbs with a runtime of its own, where ``far`` is applied: one agent, one model."""
    environment = {"ORCHESTRATOR_HOME": str(tmp_path / "home"), "ORCHESTRATOR_SERVERS": ""}

    def run(*words: str, stdin: str = "") -> Ran:
        return apart(*words, stdin=stdin, folder=tmp_path, environment=environment)

    with answering(cloud, "openai") as address:
        model = f"{{alias: m, provider: openai-compatible, model: m, endpoint: '{address}', zone: cloud}}"
        agent = "{name: desk, description: Answers., instructions: Answer., model: m}"
        (tmp_path / "far.yaml").write_text(
            f"deployment: {{type: single-device, models: [{model}], agents: [{agent}]}}\n"
        )
        applied = run("apply", "far.yaml")
        assert applied.code == 0, applied.err
        yield run
        assert run("runtime", "stop", "--drain", "1s").code == 0


def sent(cloud: SimulatedEndpoint) -> list[str]:
    """The last words of each request that the cloud got."""
    return [record.asked.messages[-1]["content"] for record in cloud.records if record.asked.messages]


def posted(address: str, body: Mapping[str, Any]) -> tuple[int, str]:
    """Status and text of the answer."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status), str(answer.read(), "utf-8")
    except urllib.error.HTTPError as error:
        return error.code, str(error.read(), "utf-8")


async def asked_by_python() -> Result:
    """The same request through the Python API."""
    async with connect("far") as far:
        return await far.run(CANARY, data_class="restricted")


def test_a_restricted_request_is_refused_where_there_is_only_the_cloud(
    orchestrator: Run, cloud: SimulatedEndpoint
) -> None:
    """By ``run`` and in ``chat``, with what to do; nothing of it is sent, and the run's story says what it was."""
    refused = orchestrator("run", "far", CANARY, "--data-class", "restricted")
    assert refused.code == 5
    assert refused.err.startswith(
        "error[ORC502]: agent.desk has only models in the cloud, and this request is restricted\n"
        "  cure: Give it a model of this device or the local network.\n"
    )
    talked = orchestrator("chat", "far", "--data-class", "restricted", stdin=f"{CANARY}\n")
    assert "only models in the cloud, and this request is restricted" in talked.err
    assert sent(cloud) == []
    story = orchestrator("explain", "run").out
    assert "  data class  restricted\n" in story
    assert "  error       ORC502 agent.desk has only models in the cloud" in story


def test_other_classes_go_where_the_manifest_says(orchestrator: Run, cloud: SimulatedEndpoint) -> None:
    """What is not said is internal, of which the story says nothing."""
    public = json.loads(orchestrator("run", "far", "open", "--data-class", "public", "--json").out)
    usual = json.loads(orchestrator("run", "far", "usual", "--json").out)
    assert [public["data_class"], usual["data_class"]] == ["public", "internal"]
    assert sent(cloud) == ["open", "usual"]
    assert "  data class  public\n" in orchestrator("explain", "run", public["id"]).out
    assert "data class" not in orchestrator("explain", "run", usual["id"]).out


def test_the_front_door_and_the_python_api_say_it_too(orchestrator: Run, cloud: SimulatedEndpoint) -> None:
    """As a field of the body or of its ``metadata``, which every client can send; as an option of ``run``."""
    address = json.loads(orchestrator("status", "--json").out)["runtime"]["url"]
    body = {"model": "far", "messages": [{"role": "user", "content": CANARY}]}
    for said in ({"data_class": "restricted"}, {"metadata": {"data_class": "restricted"}}):
        status, told = posted(f"{address}/chat/completions", {**body, **said})
        assert status == 503 and "only models in the cloud, and this request is restricted" in told
    result = anyio.run(asked_by_python)
    assert result.error is not None and result.error["kind"] == "KeptNear" and result.data_class == "restricted"
    assert sent(cloud) == []


def test_a_class_that_there_is_not_is_told_with_those_that_there_are() -> None:
    """As every choice."""
    ran = here("run", "far", "hi", "--data-class", "secret")
    assert ran.code == 64 and "(choose from 'public', 'internal', 'restricted')" in ran.err
