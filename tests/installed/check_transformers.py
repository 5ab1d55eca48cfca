"""The real server of the transformers library: the conformance suite, and what a probe finds.

It names no make, so it is one of the OpenAI-compatible ones. Its streams end without ``[DONE]``, begin with a piece that has no
text, and tell another name for the model.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.plugins.providers.compatible import open_openai_compatible
from orchestrator.ports.provider import Target
from orchestrator.testing.conformance import ProviderConformance, Subject
from tests.installed.choosing import compare_choice
from tests.installed.program import environment, running
from tests.installed.shown import compare_with_lock
from tests.real.tiny_folder import make_cached
from tests.real.tiny_model import CALLS_TOOLS

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]
VERSION = "5.23.0"
NAME = "tests/tiny-caller"


@pytest.fixture(scope="module")
def transformers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    packages = ["torch==2.13.0", f"transformers[serving]=={VERSION}"]
    programs = environment(f"transformers-{VERSION}", packages)
    home = tmp_path_factory.mktemp("transformers")
    make_cached(CALLS_TOOLS, home, NAME)
    command = [str(programs / "transformers"), "serve", NAME, "--host", "127.0.0.1", "--port", "{port}"]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    with running([*command, "--device", "cpu"], offline, home / "server.log", within=120) as url:
        yield url


class TestTransformers(ProviderConformance):
    """The suite; random weights promise no text and no call, and a schema is ignored."""

    @pytest.fixture
    async def subject(self, transformers: str) -> AsyncIterator[Subject]:
        provider = open_openai_compatible()
        target = Target("openai-compatible", f"{transformers}/v1", NAME)
        yield Subject(provider, transformers, target, echoes=False, tools=False, schema=False)
        await provider.aclose()


async def test_it_chooses_an_agent_in_one_step_where_the_model_can(transformers: str) -> None:
    """By ``/v1/systemone``, whose labels must be single tokens of the model; else in words."""
    await compare_choice(open_openai_compatible(), Target("openai-compatible", f"{transformers}/v1", NAME))


async def test_a_probe_finds_what_the_lock_file_says(transformers: str) -> None:
    """Schemas, tool_choice and log-probabilities are ignored; a stream brings its counts."""
    await compare_with_lock([transformers], Path(f"transformers-{VERSION}.lock.json"))
