"""A probe judges what was heard, asks each double what its make is known to do, and never believes more than was shown."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.plan.capabilities import Record, lock_text
from orchestrator.plugins.providers.addresses import MAKES
from orchestrator.plugins.providers.compatible import CompatibleProvider
from orchestrator.plugins.providers.probe.interview import interview
from orchestrator.plugins.providers.probe.judge import (
    JUDGES,
    Answer,
    at_once,
    overflow,
    parallel,
    read,
    together,
    vectors_come,
)
from orchestrator.plugins.providers.probe.question import QUESTIONS
from orchestrator.ports.probe import Finding, Heard, Probed
from orchestrator.ports.provider import Capability, Support, Target
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.http_shell import serving
from orchestrator.testing.script import Rule, Script

GOLDEN = Path(__file__).parents[1] / "shown" / "doubles.lock.json"
FACE_OF = {"openai-compatible": "openai"}
OBLIGING = Script([Rule(match="function weather", calls=(("weather", {"place": "Oslo"}),))])
"""A model that calls a function when its words are asked for one, as a real one does."""


def message(**said: Any) -> Heard:
    finish = said.pop("finish_reason", "stop")
    return Heard(200, json.dumps({"choices": [{"message": {"content": "", **said}, "finish_reason": finish}]}))


def called(*names: str) -> Heard:
    calls = [{"id": "1", "function": {"name": name, "arguments": '{"place": "Oslo"}'}} for name in names]
    return message(content=None, tool_calls=calls)


WRITTEN = '<tool_call>\n{"name": "weather", "arguments": {"place": "Oslo"}}\n</tool_call>'
NO_PARSER = Heard(400, '{"error": {"message": "\\"auto\\" tool choice requires --enable-auto-tool-choice"}}')
TABLE: list[tuple[str, Heard, str]] = [
    ("tools", called("weather"), "yes"),
    ("tools", message(content=WRITTEN), "ignored"),
    ("tools", message(content="It is sunny."), "unknown"),
    ("tools", NO_PARSER, "no"),
    ("tools", Heard(401, '{"error": "who are you?"}'), "unknown"),
    ("tools", Heard(0, "nobody listens"), "unknown"),
    ("required", called("weather"), "yes"),
    ("required", message(content="Hello!"), "ignored"),
    ("required", message(content="Hello and", finish_reason="length"), "unknown"),
    ("required", Heard(500, '{"error": {"message": "output that does not match the expected format"}}'), "unknown"),
    ("named", called("weather"), "yes"),
    ("named", called("clock"), "ignored"),
    ("named", called("clock", "weather"), "ignored"),
    ("named", message(content="Noon."), "ignored"),
    ("named", Heard(422, '{"detail": "tool_choice: unexpected"}'), "no"),
    ("none", message(content="I cannot look."), "yes"),
    ("none", called("weather"), "ignored"),
    ("schema", message(content='{"animal": "zebra", "number": 8}'), "yes"),
    ("schema", message(content='{"animal": "dog", "number": 8}'), "ignored"),
    ("schema", message(content='{"animal": "zebra", "number": 8, "more": 1}'), "ignored"),
    ("schema", message(content="Hello!"), "ignored"),
    ("schema", message(content='{ "animal":', finish_reason="length"), "unknown"),
    ("schema", message(content="Hello and", finish_reason="length"), "ignored"),
    ("schema", Heard(400, '{"error": {"message": "response_format is not supported"}}'), "no"),
    ("grammar", message(content="walrus"), "yes"),
    ("grammar", message(content="hello"), "ignored"),
    ("grammar", message(content="Hello and", finish_reason="length"), "ignored"),
    ("logprobs", message(content="hi"), "ignored"),
    ("logprobs", Heard(501, "not here"), "no"),
    ("usage", Heard(200, 'data: {"choices": [{"delta": {"content": "hi"}}]}\n\ndata: [DONE]\n\n'), "ignored"),
    ("usage", Heard(200, 'data: {"choices": [], "usage": {"prompt_tokens": 3}}\n\ndata: [DONE]\n\n'), "yes"),
    ("usage", Heard(200, ": keepalive\n\ndata: {broken"), "unknown"),
    ("usage", Heard(200, "<html></html>"), "unknown"),
    ("usage", Heard(200, 'data: {"error": {"message": "out of memory"}}\n\n'), "unknown"),
]


@pytest.mark.parametrize(("name", "heard", "support"), TABLE)
def test_an_answer_shows_what_it_shows(name: Any, heard: Heard, support: str) -> None:
    """A refusal is a no, an answer that does otherwise is ignored, and what fails or is cut off shows nothing."""
    finding = JUDGES[name][1](read(heard))
    assert finding.support.value == support
    assert finding.evidence


def test_every_question_has_its_judge() -> None:
    """And no judge judges what nobody asks."""
    assert QUESTIONS.keys() == JUDGES.keys()


def test_calls_that_come_as_text_are_told_apart_from_none() -> None:
    """They can be read, so that an agent with tools is still served."""
    found = seen_together(tools=message(content=WRITTEN), none=message(content="no"))
    assert found[Capability.TOOLS].support is Support.IGNORED
    assert found[Capability.TOOL_TEXT].support is Support.YES


def test_a_forced_call_shows_that_calls_come() -> None:
    """A model that would rather talk says nothing about its server; that a call comes when it is forced does."""
    found = seen_together(tools=message(content="Sunny."), required=called("weather"), none=message(content="Sunny."))
    assert found[Capability.TOOLS].support is Support.YES
    assert found[Capability.TOOL_NONE].support is Support.UNKNOWN


def seen_together(**heard: Heard) -> dict[Capability, Finding]:
    answers: dict[Any, Answer] = {name: read(each) for name, each in heard.items()}
    return together(answers, {JUDGES[name][0]: JUDGES[name][1](answer) for name, answer in answers.items()})


@pytest.mark.parametrize(
    ("heard", "support"),
    [
        (Heard(200, '{"data": [{"embedding": [0.1, 0.2]}]}'), "yes"),
        (Heard(200, '{"data": []}'), "unknown"),
        (Heard(501, '{"error": {"message": "This server does not support embeddings"}}'), "no"),
        (Heard(404, "Not Found"), "no"),
        (Heard(0, "nobody listens"), "unknown"),
    ],
)
def test_vectors_are_counted(heard: Heard, support: str) -> None:
    """An answer without numbers is no embedding."""
    assert vectors_come(heard).support.value == support


def test_a_prompt_that_is_cut_in_silence_is_noticed() -> None:
    """The count of its tokens is below that of its words."""
    cut = Answer(200, usage={"prompt_tokens": 2048})
    assert overflow(cut, 5000).support is Support.IGNORED
    assert overflow(Answer(400, "exceeds the context"), 5000).support is Support.YES
    assert overflow(Answer(200, usage={"prompt_tokens": 6000}), 5000).support is Support.UNKNOWN
    assert overflow(Answer(500, "crash"), 5000).support is Support.UNKNOWN


def test_answers_at_once_are_counted_by_their_overlap() -> None:
    """One after the other is one; short ones tell nothing."""
    assert at_once([(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]) == 1
    assert at_once([(0.0, 1.0), (0.5, 1.5), (0.9, 3.0), (1.2, 2.0)]) == 3
    assert at_once([(0.0, 0.01), (0.0, 0.01)]) is None
    assert at_once([]) is None
    assert parallel(4, []).value is None


async def probed(make: Any) -> Probed:
    provider = CompatibleProvider(make)
    endpoint = simulated(["phi4-mini"], OBLIGING, seed=3)
    async with serving(endpoint, FACE_OF.get(make.kind, make.kind)) as shell:
        endpoint.any_model = False
        identity = await provider.identify(shell.url)
        assert identity is not None
        (model,) = await provider.models(identity)
        talk = interview(provider, Target(make.kind, identity.api_base, model.id), model, deep=True)
        assert talk is not None
        found = Probed(identity, model, await talk.findings())
    await provider.aclose()
    return found


@pytest.mark.anyio
async def test_the_doubles_do_what_their_makes_are_known_to_do() -> None:
    """What probes find of every double, in one file that the table of docs/providers.md is made from."""
    text = lock_text([Record.of(await probed(make)) for make in MAKES])
    if os.environ.get("ORCHESTRATOR_GOLDEN") == "write":
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", sorted(GOLDEN.parent.glob("*.lock.json")), ids=lambda file: file.name)
def test_nothing_that_was_shown_contradicts_what_a_make_declares(file: Path) -> None:
    """Where a make declares something and a probe of it, real or doubled, found something, they are the same."""
    declared = {make.kind: make.capabilities for make in MAKES}
    wrong = [
        f"{entry['provider']}: {name.value} is declared {support.value}, found {entry['capabilities'][name.value]}"
        for entry in json.loads(file.read_text())["probed"]
        for name, support in declared[entry["provider"]].items()
        if differs(entry["capabilities"], name, support)
    ]
    assert wrong == []


def differs(found: Mapping[str, str], name: Capability, declared: Support) -> bool:
    """Embeddings are asked of a chat model: what a server gives by another one is not contradicted."""
    if name is Capability.EMBEDDINGS and found.get(name.value) == "no":
        return False
    shown = found.get(name.value, "unknown")
    return "unknown" not in (shown, declared.value) and shown != declared.value
