"""What is special about single makes is met: models that would be fetched, missing lengths, missing ids and counts."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import anyio
import pytest

from orchestrator.core.errors import ModelError, ModelNotFound
from orchestrator.core.message import Message
from orchestrator.plugins.providers.compatible import open_mlx, open_openvino
from orchestrator.plugins.providers.makes import llama_cpp, ollama
from orchestrator.plugins.providers.makes.generic import _is_list
from orchestrator.plugins.providers.makes.make import Look, Looks, Make
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.http_shell import serving

pytestmark = pytest.mark.anyio


def call_to(provider: str, base: str, model: str) -> ChatCall:
    return ChatCall(Target(provider, base, model), (Message("user", "one two"),), timeout=5.0)


async def test_mlx_is_asked_only_for_models_that_it_lists() -> None:
    """Another name would be fetched from the internet: it never reaches the server, whole or streamed."""
    provider, endpoint = open_mlx(), simulated(["mine"], any_model=True)
    async with serving(endpoint, "mlx") as shell:
        base = f"{shell.url}/v1"
        assert (await provider.chat(call_to("mlx", base, "mine"))).message.content == "one two"
        with pytest.raises(ModelNotFound, match="does not list somebody/other"):
            await provider.chat(call_to("mlx", base, "somebody/other"))
        stream = provider.stream(call_to("mlx", base, "somebody/other"))
        with pytest.raises(ModelNotFound, match="would fetch it from the internet"):
            await anext(stream)
        await provider.aclose()
    assert [record.asked.model for record in endpoint.records] == ["mine"]


async def test_mlx_may_list_a_model_later() -> None:
    """A model that is downloaded after the first look is asked for without a new start."""
    provider, endpoint = open_mlx(), simulated(["first"])
    async with serving(endpoint, "mlx") as shell:
        later = call_to("mlx", f"{shell.url}/v1", "later")
        with pytest.raises(ModelNotFound):
            await provider.chat(later)
        endpoint.models = ("first", "later")
        assert (await provider.chat(later)).message.content == "one two"
        await provider.aclose()


async def test_mlx_refuses_a_body_without_a_length() -> None:
    """Its double answers 411 to a chunked body, as the server does; our calls always tell their length."""
    request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    async with serving(simulated(["mine"]), "mlx") as shell, await anyio.connect_tcp("127.0.0.1", shell.port) as line:
        await line.send(request)
        answer = await line.receive()
        provider = open_mlx()
        await provider.chat(call_to("mlx", f"{shell.url}/v1", "mine"))
        await provider.aclose()
    assert answer.startswith(b"HTTP/1.1 411 ")


async def test_openvino_gives_no_id_and_counts_no_stream() -> None:
    """A stream without usage is counted by us, and says so; a whole answer has the server's counts."""
    provider, endpoint = open_openvino(), simulated(["mine"])
    async with serving(endpoint, "openvino") as shell:
        call = call_to("openvino", f"{shell.url}/v3", "mine")
        whole = await provider.chat(call)
        async with aclosing(provider.stream(call)) as deltas:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
            streamed = [delta async for delta in deltas][-1].reply
        await provider.aclose()
    assert streamed is not None
    assert (whole.usage.estimated, streamed.usage.estimated) == (False, True)
    assert streamed.message == whole.message


LISTS = {
    "/v1/models": {"data": [{"id": "tiny", "owned_by": "llamacpp"}]},
    "/api/tags": {"models": [{"name": "tiny"}]},
}


@pytest.mark.parametrize(
    ("make", "listing", "detail", "last", "trouble"),
    [
        (llama_cpp.MAKE, "/v1/models", "/props", None, "did not answer GET /props"),
        (llama_cpp.MAKE, "/v1/models", "/props", 503, "HTTP 503"),
        (ollama.MAKE, "/api/tags", "/api/ps", None, "did not answer GET /api/ps"),
        (ollama.MAKE, "/api/tags", "/api/ps", 500, "HTTP 500"),
    ],
)
async def test_half_of_what_a_server_tells_does_not_pass_for_all_of_it(
    make: Make, listing: str, detail: str, last: int | None, trouble: str
) -> None:
    """One that starts or ends between two answers would seem to have other slots, and be bound anew for it. One that does not
    know the path at all, as a gateway before it may not, tells what it tells."""

    async def look(paths: tuple[str, ...]) -> Looks:
        assert set(paths) == {listing, detail}
        found = Looks({listing: Look(200, {}, "", LISTS[listing])})
        return Looks(found | {detail: Look(status, {}, "")}) if status else found

    status = last
    with pytest.raises(ModelError, match=trouble):
        await make.served(look)
    status = 404
    assert [model.id for model in await make.served(look)] == ["tiny"]


@pytest.mark.parametrize(
    ("document", "is_list"),
    [
        ({"object": "list", "data": [{"id": "x"}]}, True),
        ({"data": [{"id": "x", "object": "model"}]}, True),
        ({"data": [{"id": "x"}, {"id": "y"}]}, True),
        ({"data": [{"id": "x", "name": "X", "context_length": 4096, "pricing": {}}]}, True),
        ({"data": [{"id": "x", "make": "Volvo"}]}, False),
        ({"object": "list", "data": []}, True),
        ({"data": []}, False),
        ({"data": [{"id": "x", "object": "user"}]}, False),
        ({"object": "page", "data": [{"id": "x"}]}, False),
        ({"data": [{"name": "x"}]}, False),
        ({"data": "x"}, False),
    ],
)
def test_a_list_of_models_may_lack_the_word_that_says_so(document: dict[str, Any], is_list: bool) -> None:
    """OpenRouter's has it nowhere; one that says that it is something else is something else."""
    assert _is_list(document) is is_list
