"""The arithmetic of memory against what a real llama-server sets aside."""

from __future__ import annotations

import re

import pytest

from orchestrator.core.memory import Sizes, need_of
from orchestrator.graph.sizes import cache_per_token
from orchestrator.plan.choosing import window_of
from orchestrator.plugins.providers.compatible import open_llama_cpp
from tests.plan.parts import model
from tests.real.llama import LlamaServers
from tests.real.tiny_model import HEAD_SIZE, KEY_VALUE_HEADS, LAYERS, TinyModel

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
