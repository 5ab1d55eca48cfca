"""THE TABLE of kinds: every sort of plug-in by its family and name, and where it lives. Nothing is imported by reading it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from orchestrator.core.errors import DeployError
from orchestrator.core.names import did_you_mean
from orchestrator.ports.installed import Family, installed, is_plugin, near_installed
from orchestrator.ports.kind import Kind

_PLUGINS: Final = "orchestrator.plugins"


def _rows(*rows: tuple[str, str, str]) -> dict[str, Kind]:
    return {name: Kind(name, summary, f"{_PLUGINS}.{where}") for name, summary, where in rows}


PROVIDERS: Final[Mapping[str, Kind]] = _rows(
    ("ollama", "Ollama", "providers.compatible:open_ollama"),
    ("llama-cpp", "llama.cpp's llama-server", "providers.compatible:open_llama_cpp"),
    ("vllm", "vLLM", "providers.compatible:open_vllm"),
    ("lm-studio", "LM Studio", "providers.compatible:open_lm_studio"),
    ("foundry-local", "Foundry Local", "providers.compatible:open_foundry_local"),
    ("mlx", "MLX's mlx_lm.server", "providers.compatible:open_mlx"),
    ("openvino", "OpenVINO Model Server", "providers.compatible:open_openvino"),
    ("onnx", "models that ONNX Runtime GenAI runs in a process of ours", "providers.in_process.provider:open_onnx"),
    (
        "openvino-genai",
        "models that OpenVINO GenAI runs in a process of ours",
        "providers.in_process.provider:open_openvino_genai",
    ),
    ("lemonade", "Lemonade", "providers.compatible:open_lemonade"),
    ("llama-swap", "llama-swap, which starts servers as they are asked for", "providers.compatible:open_llama_swap"),
    ("localai", "LocalAI", "providers.compatible:open_localai"),
    ("litellm", "LiteLLM's proxy, which forwards to other servers", "providers.compatible:open_litellm"),
    ("docker-model-runner", "Docker Model Runner", "providers.compatible:open_docker_model_runner"),
    ("openai-compatible", "any server of the OpenAI protocol", "providers.compatible:open_openai_compatible"),
    ("openai", "OpenAI's cloud", "providers.openai_sdk:open_openai"),
    ("azure-openai", "OpenAI's models in Azure", "providers.openai_sdk:open_azure_openai"),
)
LAUNCHERS: Final[Mapping[str, Kind]] = _rows(
    ("llama-cpp", "`llama-server` of llama.cpp: a GGUF file", "launchers.llama_cpp:open_llama_cpp"),
    ("vllm", "`vllm serve`: a model of the Hugging Face hub or a folder", "launchers.vllm:open_vllm"),
    ("mlx", "`mlx_lm.server`: a model of the Hugging Face hub or a folder", "launchers.mlx:open_mlx"),
    ("openvino", "`ovms`: a prepared folder, or a model of the Hugging Face hub", "launchers.openvino:open_openvino"),
    (
        "foundry-local",
        "the web service of Foundry Local's SDK: a model of its catalogue",
        "launchers.foundry_local:open_foundry_local",
    ),
    ("ollama", "`ollama serve`: a tag of the user's store", "launchers.ollama:open_ollama"),
)
STRATEGIES: Final[Mapping[str, Kind]] = _rows(
    ("rules", "the first written condition that holds", "strategies.rules:fit_rules"),
    ("keyword", "words that belong to one agent", "strategies.keyword:fit_keyword"),
    ("lexical", "learned from descriptions and examples, without a model", "strategies.lexical:fit_lexical"),
    ("semantic", "as lexical, and knows other words for the same", "strategies.semantic:fit_semantic"),
    ("intent", "asks a model to choose", "strategies.intent:fit_intent"),
    ("complexity", "by how hard the request looks", "strategies.complexity:fit_complexity"),
    ("cascade", "several, cheapest first", "strategies.cascade:fit_cascade"),
    ("fixed", "always the same agent", "strategies.fixed:fit_fixed"),
    ("round-robin", "each agent in turn", "strategies.turns:fit_round_robin"),
    ("sticky", "the same agent for a session", "strategies.turns:fit_sticky"),
    ("least-loaded", "the least busy agent", "strategies.turns:fit_least_loaded"),
    ("priority", "the first agent that has a free slot", "strategies.turns:fit_priority"),
)
TOOLS: Final[Mapping[str, Kind]] = _rows(
    ("database", "queries over SQLite and CSV files", "tools.database:open_database"),
    ("calendar", "events in an iCalendar file", "tools.calendar:open_calendar"),
    ("email", "mails in a local outbox, sent where a server is given", "tools.email:open_email"),
    ("tickets", "tickets in a local store", "tools.tickets:open_tickets"),
    ("knowledge", "search over a folder of Markdown and text", "tools.knowledge:open_knowledge"),
    ("clock", "date and time", "tools.clock:open_clock"),
    ("python", "functions of a Python module", "tools.python:open_python"),
)
STORES: Final[Mapping[str, Kind]] = _rows(("sqlite", "one SQLite file", "stores.sqlite:open_stores"))
HOSTS: Final[Mapping[str, Kind]] = _rows(("local", "this machine", "hosts.local:LocalHost"))
SENSORS: Final[Mapping[str, Kind]] = _rows(
    ("system", "main memory, processors, power", "sensors.system:SystemSensor"),
    ("nvidia", "NVIDIA's graphics processors, by NVML", "sensors.nvidia:NvidiaSensor"),
    ("amd", "AMD's graphics processors, by sysfs", "sensors.sysfs:AmdSensor"),
    ("npu", "neural processors, by sysfs", "sensors.sysfs:NpuSensor"),
    ("apple", "Apple silicon", "sensors.apple:AppleSensor"),
)
NOTIFIERS: Final[Mapping[str, Kind]] = _rows(
    ("webhook", "a signed POST to an address", "notifiers.webhook:open_webhook"),
    ("email", "a mail by a mail server", "notifiers.email:open_email"),
)

FAMILIES: Final[Mapping[Family, Mapping[str, Kind]]] = {
    "provider": PROVIDERS,
    "launcher": LAUNCHERS,
    "strategy": STRATEGIES,
    "tool": TOOLS,
    "store": STORES,
    "host": HOSTS,
    "sensor": SENSORS,
    "notifier": NOTIFIERS,
}


def find(family: Family, name: str) -> Kind:
    """The row of this name: of the table, or with ``plugin:`` of an installed package. Raises ``DeployError`` with near names."""
    row = installed(family).get(name) if is_plugin(name) else FAMILIES[family].get(name)
    if row is None:
        known = [*FAMILIES[family], *installed(family)]
        cure = did_you_mean(name, FAMILIES[family]) or near_installed(family, name) or f"there are: {', '.join(known)}"
        raise DeployError(f'no {family} is called "{name}"', cure=cure)
    return row


def load(family: Family, name: str) -> Any:
    """Import what a row points at. What another package offers comes with a door around it, through which only errors of
    ours come out. Raises ``DeployError`` where a library is missing."""
    row = find(family, name)
    if is_plugin(name):
        return _load_guarded(family, row)
    try:
        return row.load()
    except ImportError as error:
        raise DeployError(f'the {family} "{name}" cannot be loaded: {error}', cure="install what it needs") from error


def _load_guarded(family: Family, row: Kind) -> Any:
    from orchestrator.app.guarded.guard import Guard
    from orchestrator.app.guarded.provider import guarded_provider
    from orchestrator.app.guarded.strategy import guarded_strategy
    from orchestrator.app.guarded.tool import guarded_tool

    with Guard(f"{row.name}, {row.summary},", DeployError).doing(f"load as a {family}"):
        offered = row.load()
    match family:
        case "provider":
            return partial(guarded_provider, row.name, offered)
        case "strategy":
            return guarded_strategy(row.name, offered)
        case "tool":
            return guarded_tool(row.name, offered)
        case _:
            return offered
