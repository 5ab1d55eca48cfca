"""What tells two models under one name apart, where their server tells no digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.plan.capabilities import Record
from orchestrator.plugins.providers.makes import llama_cpp, vllm
from orchestrator.plugins.providers.makes.build import digest_of_gguf, digest_of_told
from orchestrator.plugins.providers.makes.make import Look, Looks
from orchestrator.ports.provider import Identity, ServedModel

pytestmark = pytest.mark.anyio
META = {"n_params": 557824, "size": 2231296, "ftype": "all F32"}


def gguf(file: Path, weights: bytes) -> str:
    """A file of three megabytes that begins as GGUF does."""
    file.write_bytes(b"GGUF" + bytes(3 * 2**20) + weights)
    return str(file)


async def served(make: Any, **answers: dict[str, Any]) -> tuple[ServedModel, ...]:
    """What the make makes of these answers, by path without its first sign."""

    async def look(paths: tuple[str, ...]) -> Looks:
        return Looks({path: Look(200, {}, "", answers[path.rpartition("/")[2].partition("?")[0]]) for path in paths})

    models: tuple[ServedModel, ...] = await make.MAKE.served(look)
    return models


def single(path: str, meta: dict[str, Any], template: str = "") -> dict[str, Any]:
    """The answers of a llama-server with one model."""
    card = {"id": "phi-4-mini", "owned_by": "llamacpp", "meta": meta}
    return {"models": {"data": [card]}, "props": {"model_path": path, "chat_template": template}}


async def test_a_file_that_can_be_read_tells_its_model_wherever_it_lies(tmp_path: Path) -> None:
    """By its begin and its end: the same on another machine, another one where only the weights differ."""
    one, other = gguf(tmp_path / "a.gguf", b"one"), gguf(tmp_path / "b.gguf", b"two")
    (tmp_path / "elsewhere").mkdir()
    copy = gguf(tmp_path / "elsewhere" / "c.gguf", b"one")
    assert await digest_of_gguf(one) == await digest_of_gguf(copy) != await digest_of_gguf(other)
    before = await digest_of_gguf(one)
    gguf(tmp_path / "a.gguf", b"new weights")
    assert await digest_of_gguf(one) != before
    text = tmp_path / "notes.gguf"
    text.write_text("no model")
    assert [await digest_of_gguf(str(each)) for each in (text, tmp_path / "gone.gguf", tmp_path)] == ["", "", ""]


async def test_another_model_under_the_same_alias_is_not_believed_to_do_what_the_first_did(tmp_path: Path) -> None:
    """On the same port, of the same version of the server."""
    identity = Identity("llama-cpp", "http://127.0.0.1:8080", "b1")
    (first,) = await served(llama_cpp, **single(gguf(tmp_path / "a.gguf", b"one"), META))
    (second,) = await served(llama_cpp, **single(gguf(tmp_path / "b.gguf", b"two"), META))
    record = Record("llama-cpp", "http://127.0.0.1:8080", "b1", "phi-4-mini", first.digest, {})
    assert (record.is_of(identity, first), record.is_of(identity, second)) == (True, False)


async def test_where_the_file_cannot_be_read_what_the_server_tells_is_taken() -> None:
    """Its size, its shape and its template; nothing where it tells nothing."""
    far = "/models/of/another/machine.gguf"
    (one,) = await served(llama_cpp, **single(far, META, "{{ messages }}"))
    (other,) = await served(llama_cpp, **single(far, META, "{{ tools }}"))
    assert one.digest.startswith("told-") and one.digest != other.digest
    assert one.digest == digest_of_told({**META, "n_ctx": 512}, "{{ messages }}")
    assert digest_of_told({}, "{{ messages }}") == ""


async def test_a_router_tells_the_same_of_a_model_in_memory_and_out_of_it(tmp_path: Path) -> None:
    """By the file that it starts it with: else each load would make another model of it."""
    path = gguf(tmp_path / "alpha.gguf", b"one")
    found: list[ServedModel] = []
    for state in ("loaded", "unloaded"):
        card = {"id": "alpha", "status": {"value": state, "args": ["llama-server", "--model", path, "--port", "0"]}}
        found += await served(llama_cpp, models={"data": [card]}, props={"role": "router"})
    assert found[0].digest == found[1].digest == await digest_of_gguf(path)


async def test_vllm_tells_what_it_was_started_with() -> None:
    """A folder counts by its own name: on another machine it lies elsewhere."""
    cards = [
        {"id": "a", "root": "/x/phi"},
        {"id": "b", "root": "/y/phi/"},
        {"id": "c", "root": "org/qwen"},
        {"id": "d"},
    ]
    one, same, other, none = await served(vllm, models={"data": cards})
    assert one.digest == same.digest != other.digest and none.digest == ""
