"""llama.cpp's ``llama-server``: one model file, its slots and what of it is on the GPU.

Names as its ``--help`` has them (build of the sdist of llama-cpp-python 0.3.36); older names stay as second forms. The
scenarios are ours: every slot holds its whole context in memory, so that the numbers of vLLM's templates would not fit a
device.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import PlanError
from orchestrator.plugins.launchers.flags import Advice, Command, Options, Words, fixed, flag, on_off, value
from orchestrator.plugins.launchers.installed import Entry
from orchestrator.plugins.launchers.recipe import MadeLauncher, Recipe, add_where_had
from orchestrator.ports.lifecycle import Binary, LaunchOrder

PROGRAM: Final = "llama-server"
_DRAFT: Final = Advice(
    "give speculative_model the path of a small GGUF file of the same family; the template names none"
)
_SCENARIOS: Final[dict[Any, dict[str, Any]]] = {
    "development": {"context_length": 2048, "max_num_seqs": 1, "batch_size": 512},
    "staging": {"context_length": 4096, "max_num_seqs": 2, "batch_size": 1024},
    "production_low": {"context_length": 4096, "max_num_seqs": 4, "batch_size": 2048},
    "production_high": {
        "context_length": 8192,
        "max_num_seqs": 8,
        "batch_size": 2048,
        "gpu_layers": "all",
        "speculative_model": _DRAFT,
    },
    "enterprise": {
        "context_length": 16384,
        "max_num_seqs": 16,
        "batch_size": 4096,
        "gpu_layers": "all",
        "speculative_model": _DRAFT,
    },
}


def _drafted(name: str, path: Any) -> Words:
    """A draft model alone does nothing: the kind of drafting must be named too."""
    return (name, str(path), "--spec-type", "draft-simple")


def _numa(name: str, given: Any) -> Words:
    return () if given is False else (name, "distribute" if given is True else str(given))


_FLAGS: Final = (
    flag("batch_size", ("--batch-size", value)),
    flag("threads", ("--threads", value)),
    flag("gpu_layers", ("--gpu-layers", value), ("--n-gpu-layers", value)),
    flag("memory_lock", ("--load-mode", fixed("mmap+mlock")), ("--mlock", fixed())),
    flag("numa", ("--numa", _numa)),
    flag("enable_prefix_caching", ("--cache-prompt", on_off)),
    flag("speculative_model", ("--spec-draft-model", _drafted), ("--model-draft", value)),
)
_REFUSED: Final = {
    "gpu_memory_utilization": "write gpu_layers: how many layers of the model are on the GPU (or all)",
    "max_model_len": "write context_length",
    "max_num_batched_tokens": "write batch_size",
    "tensor_parallel_size": "leave it out: the layers are spread over all GPUs that there are",
    "pipeline_parallel_size": "leave it out: the layers are spread over all GPUs that there are",
    "quantization": "name the file of that build in path, such as model-Q4_K_M.gguf",
    "enable_chunked_prefill": "leave it out: long prompts are always read in pieces of batch_size",
    "guided_decoding_backend": "leave it out: it has one of its own, and takes every JSON Schema",
    "tool_call_parser": "leave it out: it reads the format of tool calls from the model's own template",
}


def _head(command: Command, binary: Binary, order: LaunchOrder) -> str:
    if not order.is_local:
        raise PlanError(f"{PROGRAM} needs the model's file", cure="write server.path: the path of a GGUF file")
    command.words += ["--model", order.model, "--alias", order.alias]
    command.words += ["--host", order.host, "--port", str(order.port)]
    add_where_had(command, binary, "--jinja")
    add_where_had(command, binary, "--metrics")
    add_where_had(command, binary, "--slots")
    before = "--no-webui" in binary.options and "--no-ui" not in binary.options
    add_where_had(command, binary, "--no-webui" if before else "--no-ui")
    add_where_had(command, binary, "--offline")
    if order.kind == "embedding":
        command.words.append("--embeddings")
    if order.remote_code:
        command.notes.append(f"remote_code: {PROGRAM} runs no code of a model (manifest)")
    _memory(command, order)
    return order.alias


def _memory(command: Command, order: LaunchOrder) -> None:
    """``--ctx-size`` is shared by the slots: what one request may take, times the slots."""
    wanted = (_SCENARIOS[order.scenario] if order.scenario else {}) | dict(order.options)
    context, slots = wanted.get("context_length"), wanted["max_num_seqs"]
    # Told none, it would choose several, and have them share what one of them may take.
    command.words += ["--parallel", str(slots)]
    command.notes.append(f"max_num_seqs: --parallel {slots} ({command.origins['max_num_seqs']})")
    if context:
        whole = context * slots
        command.words += ["--ctx-size", str(whole)]
        each = f"{slots} slots of {context}" if slots > 1 else "one slot"
        command.notes.append(f"context_length: --ctx-size {whole}, {each} ({_origin(order, 'context_length')})")
    if int(wanted.get("batch_size") or 32) < 32:
        command.notes.append(
            "batch_size: so small a batch reads prompts a few tokens at a time; for few callers write max_num_seqs"
        )


def _origin(order: LaunchOrder, option: str) -> str:
    return "manifest" if option in order.options else f"scenario {order.scenario}"


RECIPE: Final = Recipe(
    kind="llama-cpp",
    entries=(Entry(PROGRAM),),
    install={
        "darwin": "brew install llama.cpp",
        "win32": "winget install ggml.llamacpp",
        "linux": "brew install llama.cpp, or nix profile install nixpkgs#llama-cpp, or put llama-server of "
        "https://github.com/ggml-org/llama.cpp/releases on the PATH",
        "*": "put llama-server of https://github.com/ggml-org/llama.cpp/releases on the PATH",
    },
    options=Options(
        PROGRAM, _FLAGS, _REFUSED, _SCENARIOS, elsewhere={"context_length": "--ctx-size", "max_num_seqs": "--parallel"}
    ),
    head=_head,
    known_by="--model",
    whole=True,  # without --ctx-size each slot has all that the model was trained for (older versions divide it)
)


def open_llama_cpp(cache: Path | None = None) -> MadeLauncher:
    """llama.cpp's llama-server."""
    return MadeLauncher(RECIPE, cache)
