"""The package of docs/packages.md, as it stands there, is installed and used."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import orchestrator
from orchestrator.app.wiring import Plugins
from orchestrator.core.message import Message
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.testing.conformance import ProviderConformance, Subject
from tests.app.conftest import Install
from tests.docs.pages import DOCS, fences

pytestmark = pytest.mark.anyio
TEXTS = {(fence.language, *fence.words): fence.text for fence in fences(DOCS / "packages.md")}


async def _who(request: web.Request) -> web.Response:
    return web.json_response({"version": "7", "models": ["m1"]})


async def _say(request: web.Request) -> web.Response:
    body = await request.json()
    known = body["model"] == "m1"
    told = {"said": f"you said: {body['turns'][-1]}", "read": 3, "wrote": 2}
    return web.json_response(told, status=200 if known else 404)


@pytest.fixture
async def place() -> Any:
    """The address of a server of the page's protocol."""
    app = web.Application()
    app.router.add_get("/acme/who", _who)
    app.router.add_post("/acme/say", _say)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
def package(install: Install, tmp_path: Path) -> None:
    """The page's package is installed."""
    entries = tomllib.loads(TEXTS["toml",])["project"]["entry-points"]["orchestrator.plugins"]
    install("acme-page", *(f"{name} = {where}" for name, where in entries.items()))
    (tmp_path / "acme-page" / "acme_kinds.py").write_text(TEXTS["python",])
    importlib.invalidate_caches()


async def test_the_manifest_of_the_page_runs(package: None, place: str, tmp_path: Path) -> None:
    """Its strategy sends requests to both agents, its provider and its tool answer them."""
    text = TEXTS["yaml", "fragment"].replace("http://127.0.0.1:9000", place)
    manifest = tmp_path / "house.yaml"
    manifest.write_text(text)
    async with orchestrator.open(manifest, state=tmp_path / "tools") as deployment:
        said = {(await deployment.run("hello")).text for _ in range(40)}
    assert said == {"you said: hello", "Rome: sunny"}


class TestThePagesProvider(ProviderConformance):
    """It passes the conformance suite, as the page has it tried."""

    @pytest.fixture
    async def subject(self, package: None, place: str) -> Any:
        plugins = Plugins()
        provider = plugins.provider("plugin:acme")
        yield Subject(provider, place, Target("acme", place, "m1"), echoes=False, tools=False, schema=False)
        await plugins.aclose()


async def test_the_pages_provider_raises_what_the_scheduler_knows(package: None, place: str) -> None:
    """For a model that is not there, and for a server that is not."""
    plugins = Plugins()
    provider = plugins.provider("plugin:acme")
    for target, error in (
        (Target("", place, "m2"), "ModelNotFound"),
        (Target("", "http://127.0.0.1:1", "m1"), "Unreachable"),
    ):
        with pytest.raises(orchestrator.RunError) as raised:
            await provider.chat(ChatCall(target, (Message("user", "hello"),)))
        assert type(raised.value).__name__ == error
    await plugins.aclose()
