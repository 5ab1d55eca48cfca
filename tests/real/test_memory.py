"""Memory and builds against a real llama-server: what it sets aside, and which of its builds is used."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from orchestrator.core.memory import Sizes, need_of
from orchestrator.core.message import Message
from orchestrator.graph.sizes import cache_per_token
from orchestrator.plan.binding import bind_all
from orchestrator.plan.choosing import window_of
from orchestrator.plan.observed import ObservedServer
from orchestrator.plugins.providers.compatible import open_llama_cpp
from orchestrator.ports.device import Device
from orchestrator.ports.provider import ChatCall, Target
from scripts.build_llama_server import cache_folder
from tests.plan.parts import agent, blueprint, model, state
from tests.real.llama import LlamaServers, _spawn, free_port
from tests.real.tiny_model import CHATTY, HEAD_SIZE, KEY_VALUE_HEADS, LAYERS, TinyModel, make

SHAPE = {"layers": LAYERS, "kv_heads": KEY_VALUE_HEADS, "head_dim": HEAD_SIZE}
SET_ASIDE = re.compile(r"llama_kv_cache: size = +([0-9.]+) MiB \( *(\d+) cells.* (\d+)/\d+ seqs")


@pytest.mark.anyio
@pytest.mark.parametrize(("context", "slots"), [(4096, 1), (8192, 2), (16384, 4)])
async def test_the_cache_is_what_the_server_sets_aside(llama_server: LlamaServers, context: int, slots: int) -> None:
    """From the tokens and slots that it tells, to the last tenth of a MiB."""
    server = llama_server(TinyModel(), "-c", str(context), "-np", str(slots), "--verbose", alias="tiny")
    *_, told = SET_ASIDE.findall(server.wait_for_log("all slots are idle"))
    provider = open_llama_cpp()
    identity = await provider.identify(server.url)
    assert identity is not None
    (served,) = await provider.models(identity)
    await provider.aclose()
    window = window_of(model(window=100_000), served, held=True)
    assert (window.context, window.slots) == (context // slots, slots)
    need = need_of(Sizes({"q8_0": 1}, cache_per_token(SHAPE)), "q8_0", window)
    assert need is not None
    assert need.cache / 2**20 == pytest.approx(float(told[0]), abs=0.1)


@pytest.fixture
async def router(llama_binary: Path, tmp_path: Path) -> AsyncIterator[str]:
    """A llama-server of two builds of one model (by their names: the weights are the same); gives its address."""
    folder = tmp_path / "models"
    folder.mkdir()
    for build in ("Q4_K_M", "Q8_0"):
        (folder / f"Tiny-chat-{build}.gguf").symlink_to(make(CHATTY, cache_folder()))
    port = free_port()
    command = [str(llama_binary), "--models-dir", str(folder), "-c", "2048", "-np", "2", "--port", str(port), "--jinja"]
    with (tmp_path / "log").open("w") as log, _spawn(command, log) as process:
        yield f"http://127.0.0.1:{port}"
        os.killpg(process.pid, signal.SIGKILL)  # its children, which hold the models, too


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("memory", "quantization", "chosen"), [(64, None, "Q8_0"), (6, None, "Q4_K_M"), (64, "q4_k_m", "Q4_K_M")]
)
async def test_the_build_that_fits_is_bound_and_answers(
    router: str, memory: int, quantization: str | None, chosen: str
) -> None:
    """Of the builds that a real router lists: the most faithful that fits, or the one that the manifest names."""
    provider = open_llama_cpp()
    with anyio.fail_after(20):
        while (identity := await provider.identify(router)) is None:  # noqa: ASYNC110 - another process becomes ready
            await anyio.sleep(0.05)
    server = ObservedServer.of(identity, await provider.models(identity), "node")
    spec = model(ids={"llama-cpp": ["someone/Tiny-chat-GGUF:Q4_K_M"]}, quantization=quantization)
    device = Device(memory * 10**9, memory * 10**9, 2)
    bound = bind_all(blueprint(spec, agent("a")), state(server, device=device))["phi-4-mini"]
    assert [each.model for each in bound.endpoints] == [f"Tiny-chat-{chosen}"]
    target = Target("llama-cpp", server.api_base, bound.endpoints[0].model)
    reply = await provider.chat(ChatCall(target, (Message("user", "hello"),), max_tokens=4, timeout=60.0))
    assert reply.usage.completion_tokens > 0
    loaded = {each.id: each.loaded for each in await provider.models(identity)}
    assert loaded == {f"Tiny-chat-{build}": build == chosen for build in ("Q4_K_M", "Q8_0")}
    await provider.aclose()
