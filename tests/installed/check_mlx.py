"""The real mlx_lm.server: the conformance suite, and what a probe finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.core.errors import ModelNotFound
from orchestrator.core.message import Message
from orchestrator.plugins.providers.compatible import open_mlx
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.testing.conformance import ProviderConformance, Subject
from tests.installed.program import environment, running
from tests.installed.shown import compare_with_lock
from tests.real.tiny_folder import make_cached
from tests.real.tiny_model import CALLS_TOOLS

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]
VERSION = "0.32.2"
NAME = "tests/tiny-caller"


@pytest.fixture(scope="module")
def mlx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    programs = environment(f"mlx-lm-{VERSION}", ["mlx[cpu]==0.32.4", f"mlx-lm=={VERSION}"])
    home = tmp_path_factory.mktemp("mlx")
    make_cached(CALLS_TOOLS, home, NAME)
    command = [str(programs / "mlx_lm.server"), "--model", NAME, "--host", "127.0.0.1", "--port", "{port}"]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    with running(command, offline, home / "server.log", within=120) as url:
        yield url


class TestMlx(ProviderConformance):
    """The suite; random weights promise no text and no call, and a schema is ignored."""

    @pytest.fixture
    async def subject(self, mlx: str) -> AsyncIterator[Subject]:
        provider = open_mlx()
        target = Target("mlx", f"{mlx}/v1", NAME)
        yield Subject(provider, mlx, target, echoes=False, tools=False, schema=False)
        await provider.aclose()


async def test_a_probe_finds_what_the_lock_file_says(mlx: str) -> None:
    """tool_choice, schemas and grammars are ignored; log-probabilities and counts come."""
    await compare_with_lock([mlx], Path(f"mlx-lm-{VERSION}.lock.json"))


async def test_it_is_never_asked_for_a_model_that_it_would_fetch(mlx: str) -> None:
    """Our provider refuses before the server hears of it."""
    provider = open_mlx()
    call = ChatCall(Target("mlx", f"{mlx}/v1", "somebody/other"), (Message("user", "hello"),), timeout=5.0)
    with pytest.raises(ModelNotFound):
        await provider.chat(call)
    await provider.aclose()
