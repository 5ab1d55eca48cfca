"""Kinds that installed packages add: a manifest names them, and what it names is there or told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

import orchestrator
from orchestrator.app import catalog
from orchestrator.app.wiring import Plugins
from orchestrator.core.errors import DeployError
from orchestrator.ports.installed import installed
from orchestrator.ports.kind import Kind
from tests.manifest.golden import refusal

pytestmark = pytest.mark.anyio
SHOP = """
metadata: {name: shop}
deployment:
  type: single-device
  entry: front
  models: [{alias: mine, provider: "plugin:acme", model: m, endpoint: "PLACE", primary: true}]
  tools: [{name: sky, use: "plugin:weather", plugin_options: {city: Rome}}]
  agents:
    - {name: front, role: router, strategy: "plugin:last", routes: [talk, look]}
    - {name: talk, description: Talks., model: mine}
    - {name: look, description: Looks out., tools: [sky], reflex: [{call: sky.now, say: "It is {{ result }}."}]}
"""


def shop(place: str, *changes: tuple[str, str]) -> str:
    """The manifest as a file in the working folder; its name."""
    text = SHOP.replace("PLACE", place)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return written("shop", text)


def written(name: str, text: str) -> str:
    """A manifest as a file in the working folder; its name."""
    Path(f"{name}.yaml").write_text(text)
    return f"{name}.yaml"


async def test_a_provider_of_the_table_with_its_own_api_is_asked_who_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the makes of the OpenAI protocol: a line in the table is all that it needs; those in the cloud are not asked."""
    monkeypatch.setitem(
        cast(dict[str, Kind], catalog.PROVIDERS), "acme", Kind("acme", "Acme", "tests.app.acme_kinds:Acme")
    )
    plugins = Plugins()
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        (seen,) = await plugins.look([f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"], {})
    asked = [provider.kind for provider in plugins.makes()]
    await plugins.aclose()
    assert seen.identity is not None and seen.identity.provider == "acme"
    assert asked.index("acme") < asked.index("ollama") < asked.index("openai-compatible") == len(asked) - 1
    assert not {"openai", "azure-openai"} & set(asked)


async def test_a_manifest_names_a_tool_a_strategy_and_a_provider_of_another_package(acme: Path) -> None:
    """They do what those of the table do; the tool gets its options as they are written."""
    cloud = "https://acme.example/v1"
    async with orchestrator.open(shop(cloud), state=acme / "tools") as deployment:
        looked = await deployment.run("how is it outside?")
        talked = await deployment.run("hello", agent="talk")
    assert (looked.text, looked.path) == ("It is sunny in Rome.", ("router.front", "agent.look"))
    assert looked.why == "front: it is the last"
    assert (talked.text, talked.served_by) == (f"acme at {cloud} has m", "plugin:acme@acme.example/m")


async def test_a_provider_of_another_package_is_asked_who_is_at_an_address_on_this_device(acme: Path) -> None:
    """The makes of the table do not know its server."""
    plugins = Plugins()
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        place = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        (seen,) = await plugins.look([place], {}, ["plugin:acme"])
        (unseen,) = await plugins.look([place], {})
        async with orchestrator.open(shop(place), state=acme / "tools") as deployment:
            assert (await deployment.run("hello", agent="talk")).text == f"acme at {place} has m"
    await plugins.aclose()
    assert seen.identity is not None and seen.identity.provider == "plugin:acme"
    assert unseen.identity is None


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("plugin:weather", "plugin:wether", "ORC209", 'no installed package has the tool "wether"'),
        ("plugin:last", "plugin:lst", "ORC209", 'no installed package has the strategy "lst"'),
        ("plugin:acme", "plugin:akme", "ORC209", 'no installed package has the provider "akme"'),
        ('use: "plugin:weather"', "use: wether", "ORC133", '"use" cannot be the text "wether"'),
        ('strategy: "plugin:last"', "strategy: lastt", "ORC133", '"strategy" cannot be the text "lastt"'),
    ],
)
async def test_an_unknown_kind_is_told_with_the_nearest_that_is_installed(
    acme: Path, old: str, new: str, code: str, said: str
) -> None:
    """With and without what stands before its name."""
    error = refusal([shop("https://acme.example/v1", (old, new))])
    (one,) = error.diagnostics
    near = {"tool": "weather", "strategy": "last", "provider": "acme"}
    family = next(name for name in near if name in said or (name == "tool" and '"use"' in said))
    assert (one.code, one.message, one.cure) == (code, said, f'did you mean "plugin:{near[family]}"?')


async def test_what_is_no_name_of_a_kind_is_told_so(acme: Path) -> None:
    """And what is of no use to a kind of another package."""
    error = refusal([shop("https://acme.example/v1", ("plugin:weather", "plugin:"))])
    assert [(one.code, one.cure) for one in error.diagnostics] == [
        ("ORC135", "write plugin:NAME, with the name that the package gives its kind")
    ]
    error = refusal([shop("https://acme.example/v1", ("plugin_options: {city: Rome}", "path: a.csv"))])
    assert [(one.code, one.message) for one in error.diagnostics] == [
        ("ORC227", '"path" belongs to database and calendar and knowledge, and this is plugin:weather')
    ]
    error = refusal([shop("https://acme.example/v1", ('use: "plugin:weather"', "use: tickets"))])
    assert [(one.code, one.message) for one in error.diagnostics] == [
        ("ORC227", '"plugin_options" belongs to plugin:NAME, and this is tickets')
    ]


async def test_no_package_takes_over_a_name_of_the_table(acme: Path) -> None:
    """Its own is beside it, with what stands before it."""
    assert sorted(installed("tool")) == ["plugin:tickets", "plugin:weather"]
    assert installed("tool")["plugin:weather"].summary == "from acme-kinds"
    assert catalog.find("tool", "tickets").where.startswith("orchestrator.plugins")
    assert catalog.find("tool", "plugin:tickets").where == "tests.app.acme_kinds:open_weather"
    with pytest.raises(DeployError, match='no tool is called "weather"') as raised:
        catalog.find("tool", "weather")
    assert raised.value.cure == 'did you mean "plugin:weather"?'


def test_a_manifest_of_the_table_alone_does_not_look_for_packages() -> None:
    """Looking takes a moment that every command would feel."""
    code = (
        "import sys\n"
        "from orchestrator.app.compile import compile_files\n"
        "compile_files(['examples/retail-kiosk/kiosk.yaml'], environment={})\n"
        "from orchestrator.ports.installed import installed\n"
        "assert installed.cache_info().misses == 0\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
