"""Which models are probed, what is kept, and what binding learns from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.app.probing import FILE, Known, Wish, choose, probe
from orchestrator.plan.binding import bind
from orchestrator.plan.capabilities import Record, differences, lock_text, read_lock
from orchestrator.plan.observed import ObservedServer
from orchestrator.ports.probe import Finding, Probed
from orchestrator.ports.provider import Capability, Identity, ServedModel, Support
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.http_shell import serving
from orchestrator.testing.lifecycle.store import stored
from tests.plan.parts import model, state
from tests.providers.opened import open_all

LOADED, IDLE = ServedModel("a", True, kind="chat"), ServedModel("b", False, kind="chat")
EMBEDDING, CLOUD = ServedModel("embed", True, kind="embedding"), ServedModel("c:cloud", True, remote=True)
UNSURE = ServedModel("u")


@pytest.mark.parametrize(
    ("models", "wish", "chosen"),
    [
        ([IDLE, LOADED], Wish(), "a"),
        ([IDLE], Wish(), "none of its models is known to be loaded; --load loads one, --model names one"),
        ([IDLE], Wish(load=True), "b"),
        ([IDLE, LOADED], Wish(model="b"), "b"),
        ([LOADED], Wish(model="x"), "it has no model x"),
        ([UNSURE], Wish(), "u"),
        (
            [UNSURE, ServedModel("v")],
            Wish(),
            "none of its models is known to be loaded; --load loads one, --model names one",
        ),
        ([EMBEDDING, CLOUD], Wish(), "it has no chat model on this device"),
        ([CLOUD], Wish(model="c:cloud"), "c:cloud"),
    ],
)
def test_only_a_model_that_is_there_is_asked(models: list[ServedModel], wish: Wish, chosen: str) -> None:
    """Nothing is loaded, and nothing leaves the device, unless that is asked for."""
    found, why = choose(models, wish)
    assert (found.id if found else why) == chosen


@pytest.mark.anyio
async def test_every_place_is_probed_or_says_why_not() -> None:
    """A server, something else, and nobody."""
    providers = open_all()
    async with serving(simulated(["m"]), "vllm") as one, serving(simulated(["m"]), "website") as other:
        outcome = await probe(Wish((one.url, other.url, "http://127.0.0.1:9")), providers)
    for provider in providers:
        await provider.aclose()
    assert [(each.identity.provider, each.model.id) for each in outcome.probed] == [("vllm", "m")]
    assert outcome.left_out == {
        other.url: 'it answers like no model server that is known (GET / gives a web page called "A wiki")',
        "http://127.0.0.1:9": "nobody listens there",
    }


@pytest.mark.anyio
@pytest.mark.parametrize("face", ["ollama", "llama-cpp-router", "lm-studio"])
async def test_a_model_that_is_loaded_for_it_is_found_as_the_second_time(face: str) -> None:
    """What its server tells only of what is loaded is read after the load: else a lock file would never be as it was."""
    providers = open_all()
    async with serving(SimulatedEndpoint(kept=stored(["m"], [])), face) as server:
        first, second = [await probe(Wish((server.url,), "m", load=True), providers) for _ in range(2)]
    for provider in providers:
        await provider.aclose()
    told = Record.of(first.probed[0])
    assert told.findings[Capability.CONTEXT_TOLD].support is Support.YES
    assert differences(read_lock(lock_text([told])), [Record.of(second.probed[0])]) == []


IDENTITY = Identity("openai-compatible", "http://127.0.0.1:8080", "", "http://127.0.0.1:8080/v1")
SERVED = ServedModel("phi-4-mini")


def probed(**values: Finding) -> Probed:
    return Probed(IDENTITY, SERVED, {Capability(name): finding for name, finding in values.items()})


def test_what_was_probed_goes_before_what_is_declared(tmp_path: Path) -> None:
    """Capabilities, the context that was measured, and the calls at once; what could not be shown stays as declared."""
    Known(tmp_path).add(
        [
            probed(
                tools=Finding(Support.NO, "HTTP 400"),
                grammar=Finding(Support.UNKNOWN, "cut off"),
                context_told=Finding(Support.NO, "measured", 3000),
                slots_told=Finding(Support.NO, "measured", 2),
            )
        ]
    )
    learned = Known(tmp_path).of(IDENTITY, (SERVED,))
    declared = {"tools": "yes", "grammar": "yes", "json_schema": "yes"}
    server = ObservedServer(
        IDENTITY.provider, IDENTITY.url, IDENTITY.api_base, (SERVED,), capabilities=declared, probed=learned
    )
    again = ObservedServer.from_json(server.as_json())
    (endpoint,) = bind(model(context_length=131_072), state(again)).endpoints
    assert (endpoint.context, endpoint.slots) == (3000, 2)
    assert endpoint.capabilities["tools"] == "no"
    assert endpoint.capabilities["grammar"] == endpoint.capabilities["json_schema"] == "yes"


def test_a_file_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    """A probe writes it anew; nothing fails because of it."""
    for text in ("", "[]", '{"format": 99, "records": []}', '{"format": 1, "records": [{}]}'):
        (tmp_path / FILE).write_text(text)
        assert Known(tmp_path).records() == []
    assert Known(tmp_path / "missing").records() == []
    Known(tmp_path).add([probed(tools=Finding(Support.YES, "it called"))])
    assert [record.model for record in Known(tmp_path).records()] == ["phi-4-mini"]


def test_the_runtime_sees_a_probe_without_a_new_start(tmp_path: Path) -> None:
    """The file is read anew when it changes."""
    known = Known(tmp_path)
    assert known.of(IDENTITY, (SERVED,)) == {}
    Known(tmp_path).add([probed(tools=Finding(Support.YES, "it called"))])
    assert known.of(IDENTITY, (SERVED,))["phi-4-mini"]["capabilities"] == {"tools": "yes"}
