"""The real llama-server as a router that downloads: what is still coming is no model, and what came is held to its digest."""

from __future__ import annotations

import hashlib
import threading
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from orchestrator.core.errors import ServerBusy
from orchestrator.plugins.providers.compatible import LlamaProvider, open_llama_cpp
from orchestrator.ports.provider import Support, Target
from scripts.build_llama_server import cache_folder
from tests.cli.commands import here
from tests.real.hub import hub
from tests.real.llama import LlamaServers
from tests.real.tiny_model import CHATTY, make

MODEL = "ju/tiny:Q4_K_M"


def content() -> bytes:
    return make(CHATTY, cache_folder()).read_bytes()


def parts(folder: Path) -> list[Path]:
    """Files of downloads that are not whole."""
    return list(folder.rglob("*.downloadInProgress"))


@pytest.mark.parametrize("honest", [True, False])
def test_what_came_is_held_to_what_was_announced(
    llama_server: LlamaServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, honest: bool
) -> None:
    """The server itself takes whatever comes; the command reads its cache."""
    real = content()
    announced = hashlib.sha256(real).hexdigest() if honest else "c" * 64
    with hub(real, announced) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        (tmp_path / "cache" / "hub").mkdir(parents=True)
        (tmp_path / "models").mkdir()
        server = llama_server.router(tmp_path / "models")
        environment = {"HF_HOME": str(tmp_path / "cache"), "ORCHESTRATOR_HOME": str(tmp_path / "home")}
        ran = here("models", "pull", MODEL, "--endpoint", server.url, environment=environment)
        again = here("models", "pull", MODEL, "--endpoint", server.url, environment=environment)
    assert "once the server tells it" in ran.err and "verifying what came" in ran.err
    assert "not compared" not in ran.err
    assert ran.code == (0 if honest else 5)
    assert again.code == ran.code and "verifying what came" in again.err  # it was removed, and came again
    assert honest or "it is removed again" in ran.err
    assert honest or f"what came is not what its registry announced as {'c' * 12}" in ran.err


@pytest.mark.anyio
async def test_what_had_come_of_a_pull_that_is_left_is_gone(
    llama_server: LlamaServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server deletes the part when its download is cancelled, as ``pull_is_kept`` says."""
    real, go_on = content(), threading.Event()
    provider = open_llama_cpp()
    assert isinstance(provider, LlamaProvider)
    with hub(real, hashlib.sha256(real).hexdigest(), go_on) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        (tmp_path / "models").mkdir()
        server = llama_server.router(tmp_path / "models")
        async with aclosing(provider.pull(Target("llama-cpp", f"{server.url}/v1", MODEL))) as progress:  # type: ignore[type-var] # a generator, which closes
            async for each in progress:
                if each.completed:
                    break
            assert len(parts(tmp_path)) == 1
        await anyio.to_thread.run_sync(server.wait_for_log, "download completed")
    await provider.aclose()
    assert (parts(tmp_path), provider.pull_is_kept) == ([], Support.NO)


@pytest.mark.anyio
async def test_a_model_that_is_still_coming_is_not_there(
    llama_server: LlamaServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no model to bind or to unload, which would end the download; its server says in a note that it comes."""
    real, go_on = content(), threading.Event()
    provider = open_llama_cpp()
    assert isinstance(provider, LlamaProvider)
    with hub(real, hashlib.sha256(real).hexdigest(), go_on) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        (tmp_path / "models").mkdir()
        server = llama_server.router(tmp_path / "models")
        target = Target("llama-cpp", f"{server.url}/v1", MODEL)
        async with anyio.create_task_group() as tasks:
            coming = anyio.Event()

            async def pull() -> None:
                async with aclosing(provider.pull(target)) as progress:  # type: ignore[type-var] # a generator, which closes
                    async for each in progress:
                        if each.completed:
                            coming.set()

            tasks.start_soon(pull)
            with anyio.fail_after(20):
                await coming.wait()
            identity = await provider.identify(server.url)
            assert identity is not None and f"downloads {MODEL}" in identity.notes
            assert await provider.models(identity) == ()
            with pytest.raises(ServerBusy, match="still being downloaded"):
                await provider.unload(target, 5.0)
            go_on.set()
        assert identity is not None
        assert [each.id for each in await provider.models(identity)] == [MODEL]
    await provider.aclose()
