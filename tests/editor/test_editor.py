"""What a person sees who types a manifest in an editor: the YAML language server completes and explains every key.

Needs Node.js and ``npm ci --prefix tests/editor`` (``make editor`` does it).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.manifest.anatomy import specs_below
from orchestrator.manifest.schema import deployment_schema, key_texts
from orchestrator.manifest.schema_variables import VARIABLE
from orchestrator.manifest.spec.agent import AgentEntry, ReflexRule, When
from orchestrator.manifest.spec.fields import Spec
from orchestrator.manifest.spec.manifest import DeploymentSpec, Manifest
from orchestrator.manifest.spec.model import CallOptions, ModelEntry
from orchestrator.manifest.spec.operate import QueueClass, Serve
from tests.editor.lsp import SERVER, LanguageServer
from tests.manifest.golden import ROOT

MODELINE = "# yaml-language-server: $schema=../schemas/deployment.schema.json\n"

LEVELS: list[tuple[str, type[Spec]]] = [
    ("", Manifest),
    ("deployment:\n  ", DeploymentSpec),
    ("deployment:\n  models:\n    - alias: phi-4-mini\n      ", ModelEntry),
    ("deployment:\n  models:\n    - alias: phi-4-mini\n      options:\n        ", CallOptions),
    ("deployment:\n  agents:\n    - name: orders\n      ", AgentEntry),
    ("deployment:\n  agents:\n    - name: orders\n      reflex:\n        - say: hi\n          ", ReflexRule),
    (
        "deployment:\n  agents:\n    - name: orders\n      reflex:\n        - say: hi\n          when:\n            ",
        When,
    ),
    ("deployment:\n  queue:\n    bulk:\n      ", QueueClass),
    ("deployment:\n  serve:\n    ", Serve),
]
"""Where the cursor stands at the end of a text, and the part whose keys belong there."""

VALUES = [
    ("deployment:\n  type: ", {"single-device", "distributed-edge"}),
    ("deployment:\n  models:\n    - alias: a\n      provider: ", {"ollama", "llama-cpp", "vllm", "foundry-local"}),
    ("deployment:\n  agents:\n    - name: a\n      role: ", {"router", "specialist", "escalation"}),
    ("deployment:\n  agents:\n    - name: a\n      strategy: ", {"cascade", "lexical", "rules", "fixed"}),
    ("deployment:\n  coordination:\n    failover: ", {"automatic", "manual", "none"}),
]


@pytest.fixture(scope="module")
def server() -> Iterator[LanguageServer]:
    """The language server, in the folder of the manifests that come with the project."""
    if shutil.which("node") is None or not SERVER.exists():
        pytest.fail("install Node.js 20 or later, then: npm ci --prefix tests/editor")
    with LanguageServer(ROOT / "manifests") as running:
        yield running


def at_the_end(server: LanguageServer, text: str) -> dict[str, dict[str, Any]]:
    """What is completed at the end of a manifest with this text."""
    whole = MODELINE + text
    uri = server.open(f"typed-{server.number}.yaml", whole)
    lines = whole.split("\n")
    return server.completions(uri, len(lines) - 1, len(lines[-1]))


@pytest.mark.parametrize(("text", "spec"), LEVELS, ids=[spec.__name__ for _, spec in LEVELS])
def test_every_key_is_offered_with_its_meaning(server: LanguageServer, text: str, spec: type[Spec]) -> None:
    """Except those that stand there already."""
    offered = at_the_end(server, text)
    written = {line.strip("- ").partition(":")[0] for line in text.split("\n")}
    for key, meaning in key_texts(spec).items():
        if key not in written:
            assert offered[key]["documentation"].startswith(meaning), key


@pytest.mark.parametrize(("text", "values"), VALUES, ids=[text.rsplit(" ", 2)[-2] for text, _ in VALUES])
def test_the_choices_of_a_key_are_offered(server: LanguageServer, text: str, values: set[str]) -> None:
    """As soon as the colon is typed."""
    assert values <= set(at_the_end(server, text))


@pytest.mark.parametrize(("text", "spec"), LEVELS, ids=[spec.__name__ for _, spec in LEVELS])
def test_every_key_is_explained_under_the_pointer(server: LanguageServer, text: str, spec: type[Spec]) -> None:
    """With its description, its choices or an example."""
    head, _, indent = (MODELINE + text).rpartition("\n")
    written = {line.strip("- ").partition(":")[0] for line in text.split("\n")}
    keys = [key for key in key_texts(spec) if key not in written]
    uri = server.open(f"hovered-{server.number}.yaml", head + "\n" + "".join(f"{indent}{key}: \n" for key in keys))
    first = head.count("\n") + 1
    for number, key in enumerate(keys):
        shown = server.hover(uri, first + number, len(indent) + 1)
        meaning = key_texts(spec)[key]
        assert meaning[:40].replace("`", "") in shown.replace("`", "").replace("\\", ""), key


def test_a_mistyped_key_is_marked_and_the_seed_manifests_are_not(server: LanguageServer) -> None:
    """As the command line would."""
    uri = server.open("mistyped.yaml", MODELINE + "deployment:\n  type: single-device\n  agnts: [a]\n")
    assert server.problems(uri) == ["Property agnts is not allowed."]
    uri = server.open(
        "wrong.yaml", MODELINE + "deployment:\n  type: single\n  serve: {port: abc}\n  timeout: ${WAIT:-3s}\n"
    )
    assert server.problems(uri) == [
        'Value is not accepted. Valid values: "single-device", "distributed-edge".',
        'Incorrect type. Expected "integer".',
    ]
    for name in ("single-device", "distributed-edge"):
        text = (ROOT / "manifests" / f"{name}.yaml").read_text()
        uri = server.open(f"copy-of-{name}.yaml", MODELINE + text)
        assert server.problems(uri) == []


def test_a_part_of_a_manifest_is_completed_and_explained_too(server: LanguageServer) -> None:
    """With the schema of parts, an overlay is not marked, and its keys are offered as in a whole manifest."""
    modeline = MODELINE.replace("deployment.schema", "part.schema")
    text = (
        modeline
        + "deployment:\n  timeout: 5s\n  hardware: null\n  models:\n    - alias: gpt\n      endpoint: ${SERVER}\n"
    )
    assert server.problems(server.open("overlay.yaml", text)) == []
    assert server.problems(server.open("overlay-2.yaml", text + "      zoen: lan\n")) == [
        "Property zoen is not allowed."
    ]
    uri = server.open("overlay-3.yaml", text + "      ")
    offered = server.completions(uri, text.count("\n"), 6)
    assert offered["zone"]["documentation"].startswith(key_texts(ModelEntry)["zone"])
    uri = server.open("overlay-4.yaml", text)
    assert key_texts(DeploymentSpec)["timeout"] in server.hover(uri, 2, 4)


def test_every_part_of_the_format_has_texts_for_all_its_keys() -> None:
    """What the editor shows comes from the models."""
    for spec in specs_below(Manifest):
        assert set(key_texts(spec)) == set(spec.model_fields), spec.__name__
    assert len(set(deployment_schema()["$defs"]) - {VARIABLE}) == len(specs_below(Manifest)) - 1
