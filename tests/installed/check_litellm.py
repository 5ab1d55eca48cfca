"""The real proxy of LiteLLM before the real llama-server: it is recognised, so that what it forwards counts as the cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from orchestrator.core.message import Message
from orchestrator.plugins.providers.compatible import open_litellm
from orchestrator.plugins.providers.discovery import discover
from orchestrator.ports.provider import ChatCall, Secret, ServedModel, Target
from tests.installed.program import environment, running
from tests.providers.opened import open_all
from tests.real.llama import LlamaServers
from tests.real.tiny_model import CHATTY

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]
VERSION = "1.108.7"
KEY = "sk-" + "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def proxy(llama_server: LlamaServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    programs = environment(f"litellm-{VERSION}", [f"litellm[proxy]=={VERSION}"])
    place = tmp_path_factory.mktemp("litellm")
    upstream = {"model": "openai/tiny", "api_base": f"{llama_server(CHATTY).url}/v1", "api_key": "none"}
    settings = {"model_list": [{"model_name": "tiny", "litellm_params": upstream}]}
    (place / "config.yaml").write_text(json.dumps(settings))
    command = [str(programs / "litellm"), "--config", str(place / "config.yaml"), "--host", "127.0.0.1"]
    variables = {"LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command += ["--port", "{port}", "--telemetry", "False"]
    with running(command, variables, place / "server.log", within=240, path="/health/liveliness") as url:
        yield url


@pytest.mark.parametrize("key", [None, Secret(KEY)], ids=["stranger", "known"])
async def test_it_is_recognised_with_and_without_its_key(proxy: str, key: Secret | None) -> None:
    """Not taken for a server of its own, whoever asks; its models count as the cloud."""
    providers = open_all()
    await discover(providers, [proxy])  # its first answers take seconds
    (sighting,) = (await discover(providers, [proxy], {proxy: key} if key else {})).sightings
    for provider in providers:
        await provider.aclose()
    assert sighting.identity is not None
    assert (sighting.identity.provider, sighting.identity.version) == ("litellm", VERSION)
    assert sighting.models == ((ServedModel("tiny", remote=True),) if key else ())


async def test_it_answers_by_the_server_behind_it(proxy: str) -> None:
    """Where a manifest allows that."""
    provider = open_litellm()
    target = Target("litellm", f"{proxy}/v1", "tiny", Secret(KEY), "cloud")
    reply = await provider.chat(ChatCall(target, (Message("user", "hello"),), max_tokens=8, timeout=60.0))
    await provider.aclose()
    assert reply.usage.completion_tokens
