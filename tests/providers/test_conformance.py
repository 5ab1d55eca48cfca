"""Every provider does what the port asks for: ours for each make, the official library, the simulated one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from orchestrator.plugins.providers.compatible import CompatibleProvider
from orchestrator.plugins.providers.line.far import FarLine
from orchestrator.plugins.providers.line.http_line import HttpLine
from orchestrator.plugins.providers.makes import generic
from orchestrator.plugins.providers.openai_sdk import open_azure_openai, open_openai
from orchestrator.ports.provider import Capability, Provider, Secret, Support, Target, Zone
from orchestrator.testing.conformance import ProviderConformance, Subject
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.http_shell import serving
from orchestrator.testing.script import Rule, Script
from orchestrator.testing.simulated_provider import SimulatedProvider
from tests.providers.opened import open_all

pytestmark = pytest.mark.anyio

FACE_OF = {"openai-compatible": "openai"}
DEAD = "http://127.0.0.1:9"  # the discard port: nobody listens there


# Ollama forces no call: there the model must want it, so the script does.
CALLS = Script([Rule(match="the weather", say="the tool says: {result}", calls=(("weather", {"place": "Oslo"}),))])


def subject_of(provider: Provider, endpoint: SimulatedEndpoint, url: str, api_base: str, **more: Any) -> Subject:
    """A subject on a simulated endpoint."""

    async def arm(fault: str) -> None:
        endpoint.arm(fault)

    async def log() -> Sequence[Mapping[str, Any]]:
        return [record.as_json() for record in endpoint.records]

    zone: Zone = more.pop("zone", "node")
    key = Secret(endpoint.api_key) if endpoint.api_key else None
    target = Target(provider.kind, api_base, endpoint.models[0], key, zone)
    dead = Target(provider.kind, DEAD, "phi4-mini", key, zone)
    return Subject(provider, url, target, arm=arm, log=log, dead=dead, **more)


class TestCompatible(ProviderConformance):
    """Our own client, as each make, against an endpoint that wears the make's face."""

    @pytest.fixture(params=open_all(), ids=lambda provider: provider.kind)
    async def subject(self, request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
        provider = CompatibleProvider(request.param.make)
        endpoint = simulated(["phi4-mini"], CALLS, api_key="sesame", slots=64)
        async with serving(endpoint, FACE_OF.get(provider.kind, provider.kind)) as shell:
            endpoint.any_model = False
            identity = await provider.identify(shell.url, Secret("sesame"))
            assert identity is not None
            able = provider.make.capabilities
            yield subject_of(
                provider,
                endpoint,
                shell.url,
                identity.api_base,
                schema=able[Capability.JSON_SCHEMA] is not Support.IGNORED,
                counts_streams="stream_usage" not in shell.face.ignores,
            )
        await provider.aclose()


class TestThroughAiohttp(ProviderConformance):
    """The same client on the line that carries what needs TLS or a proxy."""

    @pytest.fixture
    async def subject(self) -> AsyncIterator[Subject]:
        provider = CompatibleProvider(generic.MAKE, HttpLine(near=FarLine()))
        endpoint = simulated(["phi4-mini"], CALLS, api_key="sesame", slots=64)
        async with serving(endpoint) as shell:
            endpoint.any_model = False
            yield subject_of(provider, endpoint, shell.url, f"{shell.url}/v1")
        await provider.aclose()


class TestOfficialLibrary(ProviderConformance):
    """The official library behind the same port, against the same endpoint."""

    @pytest.fixture
    async def subject(self) -> AsyncIterator[Subject]:
        provider = open_openai()
        endpoint = simulated(["phi4-mini"], CALLS, api_key="sesame", slots=64)
        async with serving(endpoint) as shell:
            base = f"{shell.url}/v1"
            # The library reads only streams of events where it asked for one.
            exempt = ("whole-despite-stream",)
            yield subject_of(provider, endpoint, base, base, zone="cloud", knows_reuse=False, exempt=exempt)
        await provider.aclose()


class TestSimulated(ProviderConformance):
    """The simulated provider, in process."""

    @pytest.fixture
    async def subject(self) -> Subject:
        endpoint = simulated(["phi4-mini"], CALLS, slots=64)
        provider = SimulatedProvider(endpoint)
        url = next(iter(provider.endpoints))
        return subject_of(provider, endpoint, url, url)


async def test_azure_sends_its_deployment_and_its_key() -> None:
    """The Azure kind speaks to the path and with the header that Azure wants."""
    provider = open_azure_openai()
    endpoint = simulated(["my-deployment"], api_key="sesame")
    async with serving(endpoint) as shell:
        subject = subject_of(provider, endpoint, shell.url, shell.url)
        reply = await provider.chat(subject.call("hello"))
        await provider.aclose()
    assert reply.message.content == "hello"
