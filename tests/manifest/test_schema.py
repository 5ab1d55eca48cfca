"""The JSON Schema: written from the models, explaining every key, and of one mind with them about structure."""

from __future__ import annotations

import copy
import itertools
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator

from orchestrator.manifest.anatomy import specs_below
from orchestrator.manifest.empty import take_out_empty
from orchestrator.manifest.faults import Refused
from orchestrator.manifest.interpolate import interpolate
from orchestrator.manifest.marks import Marks
from orchestrator.manifest.parse import parse
from orchestrator.manifest.schema import deployment_schema, schema_text
from orchestrator.manifest.schema_part import part_schema
from orchestrator.manifest.schema_variables import VARIABLE, variable_definition
from orchestrator.manifest.spec.free import FREE_MAPS
from orchestrator.manifest.spec.manifest import Manifest
from orchestrator.manifest.structure import check_structure
from tests.manifest.golden import ROOT, compare

FILE = ROOT / "schemas" / "deployment.schema.json"
PART = ROOT / "schemas" / "part.schema.json"

HAND_MADE: Final[tuple[str, ...]] = (
    "deployment: {type: single-device}",
    "apiVersion: orchestrator/v1\nmetadata: {name: a, labels: {b: c, x-d: e}}\ndeployment: {type: single-device, agents: [a]}",
    "deployment: {type: single-device, hardware: {memory: 8 GB, cpus: 4, gpu_memory: 0, power: battery}}",
    "deployment: {type: single-device, hardware: edge-device, entry: a, timeout: 1h30m, agents: [a]}",
    "deployment: {type: single-device, models: [phi-4-mini, {alias: 'qwen2.5:0.5b', primary: true, tasks: [routing]}]}",
    (
        "deployment: {type: single-device, models: [{alias: a, provider: ollama, model: 'b:1', endpoint: 'http://127.0.0.1:1',"
        " api_key: 'env:KEY', context_length: 4096, quantization: q4, memory: 2.5GB, max_concurrent: 2, keep_alive: 5m,"
        " pinned: true, priorities: [low], complexity: [simple],"
        " options: {temperature: 0.2, max_tokens: 5, top_p: 1, seed: 3, stop: [x]}, zone: lan, fallback: [b]}]}"
    ),
    (
        "deployment: {type: single-device, models: [{alias: a, provider: vllm, server: {path: b, scenario: staging, host: '::1',"
        " port: 8080, start_timeout: 2m, max_instances: 2, remote_code: true, gpu_memory_utilization: 80%, max_model_len: 4096,"
        " tensor_parallel_size: 2, pipeline_parallel_size: 1, quantization: awq, enable_prefix_caching: true, max_num_seqs: 8,"
        " max_num_batched_tokens: 2048, enable_chunked_prefill: false, speculative_model: c, guided_decoding_backend: d,"
        " tool_call_parser: e}}]}"
    ),
    (
        "deployment: {type: single-device, models: [{alias: a, provider: llama-cpp, server: {path: b.gguf, host: localhost,"
        " context_length: 4096, batch_size: 512, threads: 4, gpu_layers: all, memory_lock: true, numa: isolate}},"
        " {alias: b, provider: llama-cpp, server: {path: c, gpu_layers: 32, numa: true}}]}"
    ),
    (
        "deployment: {type: single-device, agents: [{name: a, role: specialist, template: b, description: c, model: [d, e],"
        " instructions: f, specialized_for: [g], examples: [h], keywords: [i], tools: [j], knowledge: [k], max_tokens: 1,"
        " temperature: 0, timeout: 250ms, offline_mode: true, privacy_mode: false, compliance: [GDPR], escalate_to: l,"
        " escalate_when: [error], priority: high}]}"
    ),
    (
        "deployment: {type: single-device, agents: [{name: a, skills: [{name: b, description: c, examples: [d]}],"
        " limits: {steps: 1, tool_calls: 0, tokens: 1}, memory: {turns: 0}, output_schema: {type: object, x-y: {z: null}}}]}"
    ),
    (
        "deployment: {type: single-device, agents: [{name: a, role: router, strategy: cascade,"
        " stages: [rules, semantic], encoder: ./mine,"
        " routes: [b, {to: c, when: {regex: d, asks: d, min_chars: 1, max_chars: 2, complexity: simple}, description: e,"
        " strict: true, examples: [f], keywords: [g]}], default: b, confidence: 70%, several: true,"
        " model_confidence: {vllm: 70%}}, b, c]}"
    ),
    (
        "deployment: {type: single-device, models: [{alias: b, zone: cloud, price: {input: 1, output: 2.5}}], agents: [{name: a,"
        " budget: {per_run: {tokens: 1}}}], escalation: {approval: always, budget: {per_run: {calls: 2}, per_day: {money: 1.5}}},"
        " security: {redaction: {cloud: true, kinds: [email], fields: [c], patterns: {d: e}, refuse: [email]}}}"
    ),
    "deployment: {type: single-device, agents: [{name: a, role: escalation, human: {queue: b, say: c, expires: 4h}}]}",
    (
        "deployment: {type: single-device, escalation: {store_and_forward: true}, agents: [{name: a, model: m, "
        "store_and_forward: {expires: 2d, most_waiting: 5, say: later}}, {name: b, model: m, store_and_forward: false}]}"
    ),
    (
        "deployment: {type: single-device, tools: [{name: a, python: 'b:c', approval: always}], people: {queue: d, expires: 1h,"
        " most_waiting: 5, say: e, notify: {webhook: {url: 'https://a.b/c', secret: 'env:F'},"
        " email: {to: [g@h.i], sender: j@k.l, smtp: {host: m}}}}}"
    ),
    (
        "deployment: {type: single-device, agents: [{name: a, reflex: [{when: {keywords: [b]}, extract: {c: d}, call: e.f,"
        " arguments: {g: [1, {h: null}]}, say: i, without_model: true, unsure: true},"
        " {say: j, when: {intent: k, examples: [l]}}]}]}"
    ),
    (
        "deployment: {type: single-device, tools: [clock, {name: a, use: database, path: b, allow_sql: true, writable: true,"
        " timeout: 5, queries: {c: {sql: d, description: e, parameters: {f: string}, one: true}}}]}"
    ),
    (
        "deployment: {type: single-device, tools: [{name: a, python: 'b.c:d', functions: [e]}, {name: email, sender: a@b,"
        " smtp: {host: c, port: 25, user: d, password: 'file:/run/e', starttls: false}}, {name: calendar, timezone: Europe/Rome}]}"
    ),
    (
        "deployment: {type: single-device, routing: {strategy: 'plugin:a'}, models: [{alias: b, provider: 'plugin:c.d'}], tools:"
        " [{name: e, use: 'plugin:f', plugin_options: {g: {h: null, x-i: [1]}}}], agents: [{name: j, strategy: 'plugin:k'}]}"
    ),
    "deployment: {type: single-device, knowledge: [{name: a, path: b, include: ['*.md']}]}",
    (
        "deployment: {type: distributed-edge, nodes: [{id: a, agents: [b, {name: c, replicas: 2, alternatives: [d],"
        " node_labels: {g: h}}, {name: i, exclusive: true}], models: [d, {alias: e}], hardware: f, labels: {g: h},"
        " hub: true, pin: true}],"
        " coordination: {load_balancing: true, failover: automatic, lease: 6s, drain: 30s, health_gate: 60s}}"
    ),
    "deployment: {type: single-device, routing: {strategy: rules, confidence: 0.5, default: a}, agents: [a]}",
    "deployment: {type: single-device, routing: {routing_strategy: intent-based}, escalation: {to: a, when: [timeout], most: 2}}",
    (
        "deployment: {type: single-device, agents: [{name: a, escalate_to: b, escalate_when: [error, abstains, self_check,"
        " {abstains: {word: X, field: y}, low_confidence: {threshold: 30%, sure: 98%, measure: margin, quantile: 0.1}},"
        " {agreement: {samples: 3, threshold: 60%, sure: 1, temperature: 0.7, longest: 80}},"
        " {self_check: {threshold: 50%, sure: 99%, prompt: p}, judge: {model: m, threshold: 50%, prompt: q}}]}]}"
    ),
    (
        "deployment: {type: single-device, resources: {max_memory_usage: 4GB, max_concurrent_agents: 3, model_cache_size: 2GiB,"
        " auto_unload_idle_models: true, power_management: true}}"
    ),
    "deployment: {type: single-device, queue: {interactive: {length: 1, timeout: 2s}, default: {length: 9}, bulk: {}}}",
    (
        "deployment: {type: single-device, monitoring: {metrics: [success_rate], local_storage: true,"
        " alerts: [{metric: queue_depth, threshold: 80%, action: log}, {metric: response_time, threshold: 2.5}]}}"
    ),
    "deployment: {type: single-device, security: {tool_roots: [a]}, serve: {host: localhost, port: 7411}, x-a: {b: null}}",
    "include: [a.yaml]\nx-note: [anything, {at: all}]\ndeployment: {type: single-device}",
)
"""Valid manifests that use every key of the format at least once."""

ELSEWHERE: Final[tuple[Any, ...]] = (7, -1, 0.5, "", "text", "a b", True, [], {}, [7], {"x": 1}, "9" * 70, 10**9)
"""What is put in the place of every value, in turn."""


@lru_cache(maxsize=1)
def validator() -> Draft202012Validator:
    """For the schema in the repository."""
    return Draft202012Validator(json.loads(FILE.read_text(encoding="utf-8")))


def fits_models(tree: Any) -> bool:
    """Whether the models accept the structure."""
    return text_fits_models(json.dumps(tree))


def text_fits_models(text: str) -> bool:
    """Whether they accept a text, with its variables put in from an empty environment."""
    parsed = parse("a.yaml", text)
    if interpolate(parsed, {}, {}):
        return False
    marks = Marks(parsed.mark)
    empty, cleaned = take_out_empty(parsed.tree, marks)
    return not empty and check_structure(cleaned, marks)[0] is not None


def paths_of(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value."""
    steps = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for step, inner in steps:
        yield (*above, step)
        yield from paths_of(inner, (*above, step))


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a path; without it where ``value`` is ``...``."""
    copied = copy.deepcopy(tree)
    around = copied
    for step in path[:-1]:
        around = around[step]
    if value is ...:
        del around[path[-1]]
    else:
        around[path[-1]] = value
    return copied


def mutants() -> Iterator[tuple[str, Any]]:
    """Every hand-made manifest with one value replaced, taken out, or one key added, by a fixed rule."""
    number = itertools.count()
    for text in HAND_MADE:
        tree = parse("a.yaml", text).tree
        yield "as it is", tree
        for path in paths_of(tree):
            value = ELSEWHERE[next(number) % len(ELSEWHERE)]
            yield f"{path} = {value!r}", changed(tree, path, value)
            yield f"{path} taken out", changed(tree, path, ...)
            if isinstance(path[-1], str):
                yield f"{path} mistyped", changed(changed(tree, path, ...), (*path[:-1], path[-1] + "x"), 1)
                yield f"{path} empty", changed(tree, path, None)


def test_the_file_is_what_the_models_say() -> None:
    """`orchestrator schema > schemas/deployment.schema.json` writes it anew, and with `--part` the other."""
    assert FILE.read_text(encoding="utf-8") == schema_text(deployment_schema())
    assert PART.read_text(encoding="utf-8") == schema_text(part_schema())


def test_the_schema_is_a_schema() -> None:
    """Of draft 2020-12."""
    Draft202012Validator.check_schema(deployment_schema())
    assert deployment_schema()["$schema"].endswith("draft/2020-12/schema")


def test_schema_and_models_agree_on_every_mutant() -> None:
    """Hundreds of valid and invalid manifests: both accept or both refuse, every one."""
    seen: set[str] = set()
    valid = invalid = 0
    wrong: list[str] = []
    for name, tree in mutants():
        text = json.dumps(tree, sort_keys=True)
        if text in seen:
            continue
        seen.add(text)
        model, schema = fits_models(tree), validator().is_valid(tree)
        valid, invalid = valid + model, invalid + (not model)
        if model is not schema:
            wrong.append(f"{name}: models {model}, schema {schema}")
    assert not wrong, "\n".join(wrong[:20])
    assert valid >= 200 and invalid >= 200, (valid, invalid)


def with_a_variable(value: Any) -> str:
    """The value as the default of a variable, as a plain scalar."""
    shown = json.dumps(value) if isinstance(value, (bool, int, float)) else value
    return f"${{NOT_SET_ANYWHERE:-{shown}}}"


def as_text(tree: Any) -> str:
    """The tree as YAML in which a text that is nothing but a variable is not in quotes."""
    return yaml.safe_dump(tree, default_flow_style=False, width=10**6, sort_keys=False, allow_unicode=True)


def variable_mutants() -> Iterator[tuple[str, str]]:
    """Every hand-made manifest with one value made the default of a variable, in whole and in part, and made malformed; a map
    and a list in the place of a variable's text are not among them: what is put in is never read as YAML."""
    for text in HAND_MADE:
        tree = parse("a.yaml", text).tree
        for path in paths_of(tree):
            value = tree
            for step in path:
                value = value[step]
            if path[-1] == "store_and_forward" and isinstance(value, dict):
                pass  # it may be true or false too: whether a variable gives that, no schema can know
            elif isinstance(value, (dict, list)):
                yield f"{path} is a variable", as_text(changed(tree, path, "${NOT_SET_ANYWHERE:-error}"))
            elif value is not None:
                yield f"{path} from a variable", as_text(changed(tree, path, with_a_variable(value)))
                yield f"{path} malformed", as_text(changed(tree, path, "${NOT SET"))
            if isinstance(value, str) and len(value) > 1:
                partly = value[0] + with_a_variable(value[1:])
                yield f"{path} partly from a variable", as_text(changed(tree, path, partly))


def test_schema_and_models_agree_on_variables() -> None:
    """A value that comes from a variable, in whole or in part, is fine for both wherever the value itself is, and only there; a
    malformed variable is refused by both wherever the value is held to anything."""
    counts: Counter[tuple[bool, bool]] = Counter()
    wrong: list[str] = []
    for name, text in variable_mutants():
        model, schema = text_fits_models(text), validator().is_valid(parse("a.yaml", text).tree)
        counts[model, schema] += 1
        if model is not schema and not (schema and name.endswith("malformed")):
            wrong.append(f"{name}: models {model}, schema {schema}")
    assert not wrong, "\n".join(wrong[:20])
    assert counts[True, True] >= 200 and counts[False, False] >= 100, counts


@pytest.mark.parametrize(
    "text",
    [
        "deployment: {type: single-device, models: [{alias: a, model: b, endpoint: '${SERVER:-http://127.0.0.1:8080}'}]}",
        "deployment:\n  type: single-device\n  serve:\n    port: ${PORT:-7411}",
        "metadata: {name: 'shop-${SITE:-milan}'}\ndeployment:\n  type: single-device\n  timeout: ${WAIT:-30s}",
        (
            "deployment:\n  type: single-device\n  models:\n    - alias: a\n      model: b\n      primary: ${FIRST:-true}\n"
            "      provider: ${MAKE:-ollama}\n      zone: ${ZONE:-lan}\n      memory: ${MEMORY:-2GB}"
        ),
        "deployment: {type: '${KIND:-single-device}', entry: '${FIRST:-a}', agents: ['${FIRST:-a}'], tools: ['${T:-clock}']}",
        "deployment: {type: single-device, agents: [{name: a, description: 'costs $$5', instructions: '$${NOT} a variable'}]}",
    ],
)
def test_variables_as_people_write_them_are_fine_for_both(text: str) -> None:
    """The forms of the documentation and of the starters."""
    assert text_fits_models(text)
    validator().validate(parse("a.yaml", text).tree)


@pytest.mark.parametrize(
    "port", ["'$${PORT:-7411}'", "'${PORT'", "'${}'", "'${1PORT}'", "'$PORT'", "'${PORT:7411}'", "'${A} ${B'", "[7411]"]
)
def test_what_is_no_variable_is_refused_by_both(port: str) -> None:
    """An escaped dollar, a malformed variable, the forms of other programs."""
    text = f"deployment:\n  type: single-device\n  serve:\n    port: {port}"
    assert not text_fits_models(text)
    assert not validator().is_valid(parse("a.yaml", text).tree)


def test_what_a_variable_puts_in_is_not_known_to_a_schema() -> None:
    """The one thing that only the program finds; it cannot be said otherwise there."""
    for text in ("timeout: ${WAIT:-soon}", "timeout: '${NOT_SET_ANYWHERE}'", "serve: {port: '${PORT:-7411}'}"):
        whole = f"deployment:\n  type: single-device\n  {text}"
        assert validator().is_valid(parse("a.yaml", whole).tree) and not text_fits_models(whole)


def test_every_key_of_the_format_is_in_a_hand_made_manifest() -> None:
    """So that the comparison leaves none out."""
    written = {step for text in HAND_MADE for path in paths_of(parse("a.yaml", text).tree) for step in path}
    other_spellings = {"model_provider", "model_id", "context", "secondary"}
    keys = {key for spec in specs_below(Manifest) for key in spec.model_fields}
    assert keys - written - other_spellings == {"routing_strategy"} - written


CORPUS = sorted((ROOT / "tests" / "invalid").glob("[0-9]*.yaml"))
STRUCTURAL: Final = ("ORC130", "ORC131", "ORC132", "ORC133", "ORC134", "ORC135", "ORC136", "ORC137", "ORC138", "ORC152")
"""Faults of structure: JSON Schema finds them too."""


def test_what_a_json_schema_cannot_express_is_listed_apart() -> None:
    """Of the corpus: which faults only the program finds, with their count. All others the schema refuses as well."""
    unseen: list[str] = []
    for path in CORPUS:
        code = path.with_suffix(".txt").read_text().partition("error[")[2][:6]
        try:
            tree = parse(path.name, path.read_text(encoding="utf-8")).tree
        except Refused:
            unseen.append(f"{code} {path.stem[4:]}: not even YAML that is read here")
            continue
        if validator().is_valid(tree):
            unseen.append(f"{code} {path.stem[4:]}")
    text = f"{len(unseen)} of {len(CORPUS)} faults that JSON Schema cannot express\n\n" + "\n".join(unseen) + "\n"
    compare(Path(__file__).with_name("schema_cannot.txt"), text)


def test_a_whole_number_with_a_fraction_of_zero_is_the_one_known_difference() -> None:
    """JSON Schema calls 8.0 an integer; the manifest does not. It cannot be said otherwise there."""
    tree = {"deployment": {"type": "single-device", "serve": {"port": 80.0}}}
    assert validator().is_valid(tree) and not fits_models(tree)


def _objects(schema: Any, name: str = "root") -> Iterator[tuple[str, dict[str, Any]]]:
    yield name, schema
    yield from ((name, part) for name, part in schema.get("$defs", {}).items() if name != VARIABLE)


def _shows_values(schema: dict[str, Any]) -> bool:
    """Whether an editor can show what may stand there."""
    if any(key in schema for key in ("examples", "enum", "const", "$ref")) or schema.get("type") == "boolean":
        return True
    inner = [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return any(_shows_values(one) for one in inner)


def test_every_key_has_a_description_and_shows_what_may_stand_there() -> None:
    """A default, an enum or an example; sentences end with a full stop."""
    for name, schema in _objects(deployment_schema()):
        assert schema["description"].endswith("."), name
        for key, value in schema.get("properties", {}).items():
            assert value["description"].rstrip('")').endswith((".", "`")), f"{name}.{key}"
            assert _shows_values(value), f"{name}.{key}"


def test_every_example_and_default_is_valid_itself() -> None:
    """Examples that would be refused teach nothing."""
    schema = deployment_schema()
    for name, part in _objects(schema):
        for key, value in part.get("properties", {}).items():
            checker = Draft202012Validator({**value, "$defs": schema["$defs"]})
            for example in [*value.get("examples", []), *([value["default"]] if "default" in value else [])]:
                assert checker.is_valid(example), f"{name}.{key}: {example!r}"


def test_nothing_of_the_library_shows() -> None:
    """No null variants, no titles of keys, no module names."""
    text = schema_text(deployment_schema())
    assert '"null"' not in text and "pydantic" not in text and "discriminator" not in text and '"oneOf"' not in text


def test_closed_maps_allow_extensions_only() -> None:
    """``x-…`` is free everywhere a closed map stands."""
    for name, schema in _objects(deployment_schema()):
        assert schema.get("additionalProperties") is False, name
        assert set(schema["patternProperties"]) == {"^x-"}, name


def test_the_table_of_free_maps_is_that_of_the_models() -> None:
    """The parser keeps ``x-…`` keys exactly where keys are the user's own."""
    maps = {
        key
        for spec in specs_below(Manifest)
        for key, field in spec.model_fields.items()
        if "dict[" in str(field.annotation)
    }
    assert maps == set(FREE_MAPS)


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").glob("*.yaml")), ids=lambda path: path.name)
def test_check_jsonschema_is_all_that_a_ci_job_needs(path: Path) -> None:
    """The command of the documentation passes on the manifests that come with the project."""
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(FILE), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@lru_cache(maxsize=1)
def part_validator() -> Draft202012Validator:
    """For the schema of parts in the repository."""
    schema = json.loads(PART.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_what_fits_a_whole_manifest_fits_a_part_of_one() -> None:
    """So that no file is refused for being complete."""
    assert [
        name for name, tree in mutants() if validator().is_valid(tree) and not part_validator().is_valid(tree)
    ] == []


@pytest.mark.parametrize(
    "text",
    [
        "deployment: {timeout: 5s}",
        "metadata: {name: milan}",
        "deployment: {models: [phi-4-mini, {alias: gpt, endpoint: '${SERVER}'}]}",
        "deployment: {agents: [{name: desk, model: null}], entry: null, resources: null, security: {tool_roots: null}}",
        "deployment: {tools: [{name: shop, queries: {product: {one: true, description: null}}, smtp: {port: 25}}]}",
        "deployment: {knowledge: [{name: faq, include: ['*.md']}], nodes: [{id: a, agents: [{name: b, timeout: 3s}]}]}",
        "include: [models.yaml]",
    ],
)
def test_a_part_says_only_what_it_has_to_say(text: str) -> None:
    """Nothing is needed but names; ``null`` takes a key away."""
    part_validator().validate(parse("site.yaml", text).tree)


@pytest.mark.parametrize(
    "text",
    [
        "deployment: {timeout: soon}",
        "deployment: {tiemout: 5s}",
        "deployment: {models: [{endpoint: 'http://127.0.0.1:1'}]}",
        "deployment: {agents: [{name: null}]}",
        "deployment: {agents: [{name: a, reflex: [{call: clock.now}]}]}",
        "deployment: {agents: [{name: a, role: router, routes: [{description: b}]}]}",
        "deployment: {monitoring: {alerts: [{metric: queue_depth}]}}",
    ],
)
def test_a_part_is_held_to_the_format(text: str) -> None:
    """Values, keys, the names that parts are merged by, and whole items in lists that are replaced whole."""
    assert not part_validator().is_valid(parse("site.yaml", text).tree)


def test_a_text_with_malformed_variables_does_not_keep_a_checker_busy() -> None:
    """One that is found wrong only at its end: the pattern has one way to read it. It takes milliseconds."""
    pattern = re.compile(variable_definition()["pattern"])
    began = time.process_time()
    assert pattern.search("${A}" * 10_000 + "${A:-" * 2_000) is None
    assert pattern.search("$" * 40_000 + "{A:-x}") is None
    assert pattern.search("$$" * 20_000 + "${A:-x}")
    assert time.process_time() - began < 0.1
