"""Apple's MLX: ``mlx_lm.server``. Names as mlx-lm 0.32.2 has them.

It serves whatever a request names, and fetches it where it is not there: so that only the model's own name is ever sent,
and a model that is a folder is served without the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from orchestrator.plugins.launchers.flags import Command, Options, flag, value
from orchestrator.plugins.launchers.installed import Entry
from orchestrator.plugins.launchers.recipe import MadeLauncher, Recipe, add_where_had
from orchestrator.ports.lifecycle import Binary, LaunchOrder

PROGRAM: Final = "mlx_lm.server"
_SCENARIOS: Final[dict[Any, dict[str, Any]]] = {
    "development": {"max_num_seqs": 1, "max_num_batched_tokens": 2048},
    "staging": {"max_num_seqs": 4, "max_num_batched_tokens": 4096},
    "production_low": {"max_num_seqs": 8, "max_num_batched_tokens": 8192},
    "production_high": {"max_num_seqs": 16, "max_num_batched_tokens": 16384},
    "enterprise": {"max_num_seqs": 32, "max_num_batched_tokens": 32768},
}
_FLAGS: Final = (
    flag("max_num_seqs", ("--decode-concurrency", value)),
    flag("max_num_batched_tokens", ("--prefill-step-size", value)),
    flag("speculative_model", ("--draft-model", value)),
)
_NO_LIMIT: Final = (
    "leave it out: it has no limit of its own; set the model's context_length, which requests are held to"
)
_BY_SYSTEM: Final = "leave it out: the memory of the chip is shared, and the system manages it"
_REFUSED: Final = {
    "context_length": _NO_LIMIT,
    "max_model_len": _NO_LIMIT,
    "gpu_memory_utilization": _BY_SYSTEM,
    "gpu_layers": _BY_SYSTEM,
    "memory_lock": _BY_SYSTEM,
    "numa": _BY_SYSTEM,
    "threads": "leave it out: the work is done by the GPU",
    "batch_size": "write max_num_seqs",
    "tensor_parallel_size": "leave it out: it serves on one machine's chip",
    "pipeline_parallel_size": "leave it out: it serves on one machine's chip",
    "quantization": "name a quantized build in model, such as mlx-community/…-4bit",
    "enable_prefix_caching": "leave it out: prompts are always cached",
    "enable_chunked_prefill": "leave it out: prompts are always read in pieces of max_num_batched_tokens",
    "guided_decoding_backend": "leave it out: it ignores JSON Schemas; answers are checked and repaired on our side",
    "tool_call_parser": "leave it out: it reads the format of tool calls from the model's own template",
}


def _head(command: Command, binary: Binary, order: LaunchOrder) -> str:
    command.words += ["--model", order.model, "--host", order.host, "--port", str(order.port)]
    if order.is_local:
        # A cache of its own: it lists nothing else, and without the folder its list of models is no JSON at all.
        command.environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": order.folder}
        command.folders.append(f"{order.folder}/hub")
    if order.remote_code:
        add_where_had(command, binary, "--trust-remote-code")
        command.notes.append("remote_code: --trust-remote-code, code of the model's tokenizer runs here (manifest)")
    return order.model


RECIPE: Final = Recipe(
    kind="mlx",
    entries=(Entry(PROGRAM), Entry("mlx_lm", ("server",))),
    install={
        "darwin": "pip install mlx-lm",
        "linux": "pip install 'mlx[cpu]' mlx-lm",
        "*": "MLX runs on macOS and Linux: pip install mlx-lm there",
    },
    options=Options(PROGRAM, _FLAGS, _REFUSED, _SCENARIOS),
    head=_head,
    known_by="--model",
    slots=8,  # --prompt-concurrency
)


def open_mlx(cache: Path | None = None) -> MadeLauncher:
    """Apple's MLX."""
    return MadeLauncher(RECIPE, cache)
