"""A probe of real llama.cpp servers shows what they truly do, and a lock file of ``tests/shown`` holds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.app.probing import Wish, probe
from orchestrator.plan.capabilities import Record, differences, lock_text, read_lock
from orchestrator.ports.probe import Probed
from orchestrator.ports.provider import Capability
from tests.providers.opened import open_all
from tests.real.llama import LlamaServer, LlamaServers
from tests.real.tiny_model import CALLS_TOOLS, TinyModel

pytestmark = pytest.mark.anyio
LOCK = Path(__file__).parents[1] / "shown" / "llama-cpp.lock.json"


async def probed(*servers: LlamaServer, deep: bool = False) -> list[Probed]:
    providers = open_all()
    outcome = await probe(Wish(tuple(server.url for server in servers), deep=deep), providers)
    for provider in providers:
        await provider.aclose()
    assert outcome.left_out == {}
    return list(outcome.probed)


async def test_the_lock_file_holds_what_the_real_server_does(llama_server: LlamaServers) -> None:
    """Grammar, schema and log-probabilities: yes; a function named in tool_choice: ignored; embeddings: no, without its flag;
    the context of a slot and the slots: told; a prompt that does not fit: refused."""
    caller = llama_server(CALLS_TOOLS, alias="caller")
    embedder = llama_server(TinyModel(), "--embeddings", "--pooling", "mean", alias="embedder")
    found = [Record.of(each) for each in await probed(caller, embedder, deep=True)]
    if os.environ.get("ORCHESTRATOR_GOLDEN") == "write":
        LOCK.write_text(lock_text(found), encoding="utf-8")
    assert differences(read_lock(LOCK.read_text(encoding="utf-8")), found) == []


async def test_what_the_lock_file_says_is_what_the_reader_is_told(llama_server: LlamaServers) -> None:
    """The same in words that do not come from the file."""
    (found,) = await probed(llama_server(CALLS_TOOLS, alias="caller"))
    told = {name.value: finding.support.value for name, finding in found.findings.items()}
    assert {name: told[name] for name in ("tools", "tool_required", "tool_named", "grammar", "logprobs")} == {
        "tools": "yes",
        "tool_required": "yes",
        "tool_named": "ignored",
        "grammar": "yes",
        "logprobs": "yes",
    }
    assert "--embeddings" in found.findings[Capability.EMBEDDINGS].evidence
    assert found.findings[Capability.CONTEXT_TOLD].value == 2048  # 4096 shared by two slots
    assert found.findings[Capability.SLOTS_TOLD].value == 2
