"""``ollama serve``: everything is said by variables of the environment, which its ``--help`` lists.

The models are those of the user's own store. Models of Ollama's cloud are switched off: a server on this device must not
send to another one in silence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import PlanError
from orchestrator.core.hosts import in_url
from orchestrator.plugins.launchers.flags import Command, Options, bare, flag
from orchestrator.plugins.launchers.installed import Entry
from orchestrator.plugins.launchers.recipe import MadeLauncher, Recipe
from orchestrator.ports.lifecycle import Binary, LaunchOrder

PROGRAM: Final = "ollama serve"
_SCENARIOS: Final[dict[Any, dict[str, Any]]] = {
    "development": {"context_length": 2048, "max_num_seqs": 1},
    "staging": {"context_length": 4096, "max_num_seqs": 2},
    "production_low": {"context_length": 4096, "max_num_seqs": 4},
    "production_high": {"context_length": 8192, "max_num_seqs": 8},
    "enterprise": {"context_length": 16384, "max_num_seqs": 16},
}
_FLAGS: Final = (
    flag("context_length", ("OLLAMA_CONTEXT_LENGTH", bare)),
    flag("max_num_seqs", ("OLLAMA_NUM_PARALLEL", bare)),
)
_PER_MODEL: Final = "write it as a PARAMETER of a Modelfile and `ollama create` the model: the server has none for all"
_REFUSED: Final = {
    "max_model_len": "write context_length",
    "batch_size": _PER_MODEL,
    "threads": _PER_MODEL,
    "gpu_layers": _PER_MODEL,
    "memory_lock": _PER_MODEL,
    "numa": _PER_MODEL,
    "max_num_batched_tokens": _PER_MODEL,
    "gpu_memory_utilization": "leave it out: it measures what is free and decides",
    "tensor_parallel_size": "leave it out: it spreads a model over the GPUs that it needs",
    "pipeline_parallel_size": "leave it out: it spreads a model over the GPUs that it needs",
    "quantization": "name the tag of that build in model, such as phi4-mini:3.8b-q4_K_M",
    "enable_prefix_caching": "leave it out: the last prompt of a slot is always kept",
    "enable_chunked_prefill": "leave it out: prompts are always read in pieces",
    "speculative_model": "leave it out: it has no draft models",
    "guided_decoding_backend": "leave it out: it has one of its own",
    "tool_call_parser": "leave it out: it reads the format of tool calls from the model's own template",
}


def _head(command: Command, binary: Binary, order: LaunchOrder) -> str:
    del binary
    if order.is_local:
        raise PlanError(
            f"{PROGRAM} serves tags of its store, not files",
            cure="`ollama create` a model from the file, and name its tag",
        )
    command.environment |= {"OLLAMA_HOST": f"{in_url(order.host)}:{order.port}", "OLLAMA_NO_CLOUD": "1"}
    if order.remote_code:
        command.notes.append(f"remote_code: {PROGRAM} runs no code of a model (manifest)")
    return order.model


RECIPE: Final = Recipe(
    kind="ollama",
    entries=(Entry("ollama", ("serve",)),),
    install={
        "darwin": "brew install ollama",
        "linux": "install Ollama from https://ollama.com/download/linux",
        "win32": "winget install Ollama.Ollama",
        "*": "install Ollama from https://ollama.com/download",
    },
    options=Options(PROGRAM, _FLAGS, _REFUSED, _SCENARIOS),
    head=_head,
    on_request=True,
)


def open_ollama(cache: Path | None = None) -> MadeLauncher:
    """Ollama."""
    return MadeLauncher(RECIPE, cache)
