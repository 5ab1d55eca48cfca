"""Schemas of which the real llama-server makes no grammar: the model is asked in words, and the answer is checked."""

from __future__ import annotations

import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.request import Result
from tests.real.llama import LlamaServer
from tests.real.serving import opened, until, write

pytestmark = pytest.mark.anyio

CLERK = """\
deployment:
  type: single-device
  models:
    - {alias: tiny, provider: llama-cpp, model: tiny, endpoint: "$TINY"}
  agents:
    - {name: clerk, instructions: You count., model: tiny, max_tokens: 24, output_schema: $SCHEMA}
"""
NO_GRAMMAR = "Failed to initialize samplers: failed to parse grammar"
NO_PARSER = "Automatic parser generation failed"
REFUSED = {
    "long array": ({"type": "array", "items": {"type": "integer"}, "minItems": 2500, "maxItems": 2500}, NO_GRAMMAR),
    "long text": ({"type": "string", "minLength": 5000}, NO_GRAMMAR),
    "many of one letter": ({"type": "string", "pattern": "^a{3000}$"}, NO_GRAMMAR),
    "a reference to an anchor": (
        {"$defs": {"n": {"$anchor": "x", "type": "integer"}}, "$ref": "#x"},
        f"{NO_PARSER}: JSON schema error at #: unsupported $ref",
    ),
    "true": ({"type": "object", "properties": {"a": True}}, f"{NO_PARSER}: JSON schema error at #/properties/a"),
    "no choice": ({"enum": []}, f"{NO_PARSER}: JSON schema error at #: enum must be"),
}
HELD = {
    "a look-ahead": {"type": "string", "pattern": "^(?=a)b+$"},
    "a schema in itself": {
        "$defs": {"n": {"type": "object", "properties": {"c": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}},
        "$ref": "#/$defs/n",
    },
    "not": {"not": {"type": "string"}},
    "if": {"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}},
    "a format": {"type": "string", "format": "email"},
    "unevaluatedProperties": {"type": "object", "unevaluatedProperties": False},
}
"""The server takes these, whether it holds to all of their words or not: the check does."""


def clerk(folder: Path, server: LlamaServer, schema: Any) -> Path:
    return write(folder, CLERK.replace("$SCHEMA", json.dumps(schema)), tiny=server)


def check_in_words(result: Result, words: str) -> None:
    """The tiny model's noise fits no schema; that is the answer's fault, and not one of the request."""
    assert result.status == "completed" or (result.error or {})["kind"] == "SchemaInvalid", result.error
    assert "cannot hold answers to the JSON Schema of agent.clerk (HTTP 400: " in result.notes[0]
    assert words in result.notes[0]
    assert all(words in step.detail["unheld"] for step in result.steps if step.kind == "model")


def refused_by(server: LlamaServer) -> int:
    """How many requests it refused for their schema, as its own log has them."""
    printed = server.log.read_text(errors="replace")
    return printed.count(f"error: {NO_GRAMMAR}") + printed.count(NO_PARSER)


@pytest.mark.parametrize(("schema", "words"), REFUSED.values(), ids=REFUSED)
async def test_what_it_makes_no_grammar_of_is_said_in_words(
    tiny_server: LlamaServer, tmp_path: Path, schema: Any, words: str
) -> None:
    """Refused once; the repair, the next request and a streamed one are not."""
    refused = refused_by(tiny_server)
    async with opened(clerk(tmp_path, tiny_server, schema)) as deployment:
        results = [await deployment.run("How many?"), await deployment.run("How many more?")]
        async with aclosing(deployment.stream("And now?")) as events:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
            results += [event.fields["result"] async for event in events if event.kind == "run.finished"]
    assert len(results) == 3
    for result in results:
        check_in_words(result, words)
    await until(lambda: refused_by(tiny_server) > refused)
    assert refused_by(tiny_server) == refused + 1


@pytest.mark.parametrize("schema", HELD.values(), ids=HELD)
async def test_what_it_takes_is_sent_as_it_is(tiny_server: LlamaServer, tmp_path: Path, schema: Any) -> None:
    """No request is refused, and no note says that it was."""
    refused = refused_by(tiny_server)
    async with opened(clerk(tmp_path, tiny_server, schema)) as deployment:
        result = await deployment.run("How many?")
    assert result.status == "completed" or (result.error or {})["kind"] == "SchemaInvalid", result.error
    assert not any("cannot hold" in note for note in result.notes)
    assert refused_by(tiny_server) == refused
