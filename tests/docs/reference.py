"""The parts of the pages that are made from the code. A test compares; ``ORCHESTRATOR_GOLDEN=write`` writes them anew.

A page holds a generated part between ``<!-- generated: NAME -->`` and ``<!-- end -->``; everything else is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from orchestrator.app.catalog import FAMILIES, LAUNCHERS, load
from orchestrator.core.codes.table import CODES
from orchestrator.core.failpoint import FAILPOINTS
from orchestrator.manifest.planned import NOT_ACTED_ON, NOT_ACTED_ON_BY_ROUTERS, NOT_IN_THIS_VERSION
from orchestrator.manifest.schema import deployment_schema
from orchestrator.manifest.schema_variables import VARIABLE
from orchestrator.manifest.spec.server import ServerOptions
from orchestrator.plan.capabilities import read_lock
from orchestrator.plugins.launchers.flags import Advice
from orchestrator.plugins.providers.addresses import MAKES
from orchestrator.plugins.providers.makes.make import Make
from orchestrator.ports.provider import Capability, Support
from tests.docs.pages import ROOT, anchor

Found = list[dict[str, Any]]
_PART: Final = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def generated(page: str) -> str:
    """The page with its generated parts as they should be."""
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]().strip()}\n\n{match[3]}", page)


# ---- codes ----------------------------------------------------------------------------------------------------------


def _codes() -> str:
    return "\n\n".join(_code(*pair) for pair in CODES.items())


def _code(name: str, code: Any) -> str:
    text = f"### {name}: {code.title}\n\n{_escaped(code.why)}\n\nCure: {_escaped(code.cure)}"
    return f"{text}\n\n```text\n{code.example}\n```" if code.example else text


# ---- the manifest ---------------------------------------------------------------------------------------------------

_ORDER: Final = (
    *(
        "Metadata",
        "DeploymentSpec",
        "ModelEntry",
        "ServerOptions",
        "CallOptions",
        "AgentEntry",
        "Skill",
        "Route",
        "When",
        "ReflexRule",
    ),
    *(
        "Signs",
        "Abstains",
        "LowConfidence",
        "Agreement",
        "SelfCheck",
        "Judge",
        "Human",
        "Memory",
        "Limits",
        "ToolEntry",
        "NamedQuery",
        "Smtp",
        "KnowledgeEntry",
        "People",
        "Notify",
        "Webhook",
        "NoticeMail",
        "RoutingDefaults",
    ),
    "StoreAndForward",
    *("EscalationDefaults", "Budget", "Amounts", "Price", "Resources", "Queue", "QueueClass"),
    *("Security", "Redaction", "Serve", "Hardware", "NodeEntry"),
    *("Coordination", "Monitoring", "Alert"),
)


def _keys() -> str:
    schema = deployment_schema()
    definitions = {name: part for name, part in schema["$defs"].items() if name != VARIABLE}
    assert set(definitions) == set(_ORDER), "a new part of the manifest needs its place in the order"
    parts = [_part("The root", schema, definitions)]
    parts += [_part(_title(name, definitions), definitions[name], definitions) for name in _ORDER]
    return "\n\n".join(parts)


def _part(title: str, schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (f"`{name}`" + (" (needed)" if name in required else ""), _value(key, definitions), key["description"])
        for name, key in schema["properties"].items()
    ]
    return f"### {title}\n\n{schema['description']}\n\n{_table(('key', 'value', 'meaning'), rows)}"


def _value(key: dict[str, Any], definitions: dict[str, Any]) -> str:
    shown = _form(key, definitions)
    default = key.get("default")
    if not default or isinstance(default, dict) or "const" in key.get("anyOf", [key])[0]:
        return shown
    return f"{shown}; {_default(default, shown)} by default"


def _default(value: Any, form: str) -> str:
    if isinstance(value, list):
        return ", ".join(f"`{each}`" for each in value)
    if isinstance(value, float):
        return f"`{value:g}{'s' if form == 'duration' else ''}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _form(key: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in key:
        name = key["$ref"].rpartition("/")[2]
        title = _title(name, definitions)
        return f"[{title}](#{anchor(title)})"
    if "enum" in key:
        return ", ".join(f"`{each}`" for each in key["enum"])
    if "const" in key:
        return f"`{key['const']}`"
    if "anyOf" in key:
        own = [form for form in key["anyOf"] if form.get("$ref") != f"#/$defs/{VARIABLE}"]
        forms = dict.fromkeys(_form(form, definitions) for form in own)
        return _quantity(own) or " or ".join(forms)
    if key.get("type") == "array":
        return f"list of {_form(key['items'], definitions)}"
    words = {"string": "text", "integer": "number", "boolean": "true or false", "object": "map"}
    return words.get(key["type"], str(key["type"]))


def _title(name: str, definitions: dict[str, Any]) -> str:
    """Two parts are called a queue."""
    return "Queue of a class" if name == "QueueClass" else str(definitions[name]["title"])


def _quantity(forms: list[dict[str, Any]]) -> str:
    """What a text with a unit is, told by the samples that its pattern fits."""
    for form in forms:
        fits = [word for sample, word in _SAMPLES.items() if re.search(form.get("pattern", "^$"), sample)]
        if len(fits) == 1 or fits == ["size", "share"]:  # a name's pattern fits more of them
            return " or ".join(fits)
    return ""


_SAMPLES: Final = {"30s": "duration", "8GB": "size", "80%": "share"}


def _later() -> str:
    ignored = [(f"`{path}`", why) for path, why, _ in NOT_ACTED_ON]
    ignored.append((", ".join(f"`{key}`" for key in NOT_ACTED_ON_BY_ROUTERS) + " of a router", "a router only chooses"))
    refused = [(part, ", ".join(f"`{key}`" for key in keys)) for part, keys in _refused()]
    return f"{_table(('accepted, not acted on', 'because'), ignored)}\n\n{_table(('refused, of', 'keys'), refused)}"


def _refused() -> Iterator[tuple[str, list[str]]]:
    schema = deployment_schema()
    titles = {"Manifest": "the root"} | {
        name: made["title"].lower() for name, made in schema["$defs"].items() if name != VARIABLE
    }
    yield from ((titles[name], list(keys)) for name, keys in NOT_IN_THIS_VERSION.items())


# ---- kinds ----------------------------------------------------------------------------------------------------------


def _kinds() -> str:
    heads = {
        "provider": "Providers: makes of model server ([providers.md](providers.md))",
        "launcher": "Launchers: servers that the orchestrator starts ([servers.md](servers.md))",
        "strategy": "Strategies: how a router chooses ([routing.md](routing.md))",
        "tool": "Tools: what agents may do ([tools.md](tools.md))",
        "store": "Stores: where the runtime keeps what it must not forget ([runtime.md](runtime.md))",
        "host": "Hosts: the machine below ([runtime.md](runtime.md))",
        "notifier": "Notifiers: how people are told that something waits for them ([people.md](people.md))",
        "sensor": "Sensors: what the device has ([providers.md](providers.md#memory-and-builds))",
    }
    return "\n\n".join(
        f"**{heads[family]}**\n\n{_table(('kind', 'what it is'), [(f'`{row.name}`', row.summary) for row in rows.values()])}"
        for family, rows in FAMILIES.items()
    )


# ---- makes of model servers -----------------------------------------------------------------------------------------


SHOWN: Final = ROOT / "tests" / "shown"
"""Lock files of probes: of doubles, and of real servers."""


def _abilities() -> str:
    elsewhere = (Capability.CHAT, Capability.STREAM, Capability.LOAD, Capability.PULL, Capability.REMOVE)
    columns = [name for name in Capability if name not in elsewhere]
    head = ("kind", *(f"`{name.value}`" for name in columns), "calls at once, if untold")
    real, doubles = _found("[!d]*.lock.json"), _found("doubles.lock.json")
    rows = [
        (f"`{make.kind}`", *(_cell(make, name, real, doubles) for name in columns), str(make.assumed_slots))
        for make in MAKES
    ]
    changes = [
        (f"`{make.kind}`", change.version, ", ".join(f"{name}: {value}" for name, value in change.before.items()))
        for make in MAKES
        for change in make.since
    ]
    oldest = ", ".join(f"`{make.kind}` {make.oldest}" for make in MAKES if make.oldest)
    told = f"Of versions before these nothing is known: {oldest}. An older one is told, with a note."
    return "\n\n".join((_table(head, rows), _table(("kind", "before version", "it was"), changes), told))


def _cell(make: Make, name: Capability, real: Found, doubles: Found) -> str:
    """What a real server showed, else what is declared; a double shows something only of what is declared."""
    shown = _values(real, make.kind, name)
    support = make.capabilities[name]
    if shown:
        other = support not in (Support.UNKNOWN, *map(Support, shown))
        return f"**{' or '.join(shown)}**" + (f" or {support.value}" if other else "")
    if support is Support.UNKNOWN:
        return "?"
    return support.value if _values(doubles, make.kind, name) else f"{support.value}*"


def _values(found: Found, kind: str, name: Capability) -> list[str]:
    told = [entry["capabilities"].get(name.value, "unknown") for entry in found if entry["provider"] == kind]
    return sorted({value for value in told if value != "unknown"})


def _found(pattern: str) -> Found:
    return [entry for file in sorted(SHOWN.glob(pattern)) for entry in read_lock(file.read_text(encoding="utf-8"))]


def _shown() -> str:
    doubles = {entry["provider"]: entry["version"] for entry in _found("doubles.lock.json")}
    rows = [(f"`{make.kind}`", _real_versions(make.kind), doubles[make.kind] or "it tells none") for make in MAKES]
    return _table(("kind", "probed for real", "double, by the version that it tells"), [*rows, *_WITHOUT_A_MAKE])


_WITHOUT_A_MAKE: Final = [
    (
        "`onnx`",
        "not probed; the conformance suite runs on ONNX Runtime GenAI 0.18.0 (`make test-servers`, a random model)",
        "no server, so none; a worker process of ours that crashes, hangs and lies in tests",
    ),
    (
        "`openvino-genai`",
        "not probed; the conformance suite runs on OpenVINO GenAI 2026.4.1 (`make test-servers`, a random model)",
        "no server, so none; the same worker",
    ),
    (
        "`openai`",
        "no: api.openai.com was never called; its official library runs the conformance suite on the real llama-server",
        "the protocol by the same library, with every fault",
    ),
    (
        "`azure-openai`",
        "no: no Azure resource was ever called",
        "one call to its path with its key header and `api_version`",
    ),
]
"""Kinds that no make describes: what was run for them, by hand, as no lock file holds it."""


def _real_versions(kind: str) -> str:
    """By what the servers tell; by the file's name where they tell nothing."""
    told = []
    for file in sorted(SHOWN.glob("[!d]*.lock.json")):
        entries = [entry for entry in read_lock(file.read_text(encoding="utf-8")) if entry["provider"] == kind]
        told += [entry["version"] or file.name.removesuffix(".lock.json") for entry in entries]
    return ", ".join(dict.fromkeys(told)) or "no"


# ---- servers --------------------------------------------------------------------------------------------------------


def _launchers() -> dict[str, Any]:
    return {kind: load("launcher", kind)(None).options for kind in LAUNCHERS}


def _server_options() -> str:
    launchers = _launchers()
    options = [name for name in ServerOptions.model_fields if name not in _OF_ALL]
    rows = [(f"`{option}`", *(_becomes(option, each) for each in launchers.values())) for option in options]
    return _table(("option", *(f"`{kind}`" for kind in launchers)), rows)


_OF_ALL: Final = ("path", "scenario", "host", "port", "start_timeout", "remote_code", "max_instances")


def _becomes(option: str, options: Any) -> str:
    """Its name there, else what to write instead, else nothing."""
    names = {flag.option: flag.forms[0].name for flag in options.flags} | dict(options.elsewhere)
    if option in names:
        return f"`{names[option]}`"
    instead = re.match(r"write (\w+)", options.refused.get(option, ""))
    return f"write `{instead[1]}`" if instead and instead[1] in ServerOptions.model_fields else "-"


def _scenarios() -> str:
    parts = []
    for kind, options in _launchers().items():
        names = list(dict.fromkeys(name for values in options.scenarios.values() for name in values))
        rows = [(f"`{name}`", *(_given(values.get(name)) for values in options.scenarios.values())) for name in names]
        parts.append(f"**`{kind}`**\n\n{_table(('', *(f'`{each}`' for each in options.scenarios)), rows)}")
    return "\n\n".join(parts)


def _given(value: Any) -> str:
    if value is None:
        return ""
    return "told" if isinstance(value, Advice) else str(value).lower() if isinstance(value, bool) else f"{value}"


# ---- failpoints -----------------------------------------------------------------------------------------------------


def _failpoints() -> str:
    import orchestrator.app.runtime
    import orchestrator.plugins.stores.keeper
    import orchestrator.plugins.stores.sqlite  # noqa: F401 - all that declare failpoints

    families: dict[str, list[str]] = {}
    for name in sorted(FAILPOINTS):
        families.setdefault(name.partition(".")[0], []).append(f"`{name}`")
    return _table(("of", "points"), [(family, ", ".join(names)) for family, names in families.items()])


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *[tuple(_escaped(cell).replace("|", "\\|") for cell in row) for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    """Nothing of a text of the code is read as HTML; between backticks nothing is anyway."""
    parts = text.split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


PARTS: Final[dict[str, Callable[[], str]]] = {
    "codes": _codes,
    "keys": _keys,
    "later": _later,
    "kinds": _kinds,
    "failpoints": _failpoints,
    "abilities": _abilities,
    "shown": _shown,
    "server-options": _server_options,
    "scenarios": _scenarios,
}
