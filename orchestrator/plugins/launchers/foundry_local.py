"""Foundry Local 2: no program of its own, but a core that its SDK brings, run by a process of ours.

Names as foundry-local-sdk 2.2.1 has them. One cache holds the models of all that are started. It asks for no options: the
device decides, and requests are answered one after the other.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import PlanError
from orchestrator.core.extras import install_line
from orchestrator.plugins.launchers.flags import Command, Options
from orchestrator.plugins.launchers.installed import Entry
from orchestrator.plugins.launchers.recipe import MadeLauncher, Recipe
from orchestrator.ports.interpreter import FOUNDRY_PYTHON, interpreter_with
from orchestrator.ports.lifecycle import Binary, LaunchOrder

NAME: Final = "foundry-local-sdk"
_PROGRAM: Final = Path(__file__).with_name("foundry_program.py")
_MODULE: Final = "orchestrator.plugins.launchers.foundry_program"
_ONE: Final[dict[str, Any]] = {"max_num_seqs": 1}
_SCENARIOS: Final[dict[Any, dict[str, Any]]] = dict.fromkeys(
    ("development", "staging", "production_low", "production_high", "enterprise"), _ONE
)
_BY_DEVICE: Final = "leave it out: the variant of the model decides, which is chosen by the device"
_CONTEXT: Final = "leave it out: it is that of the model; set the model's context_length, which requests are held to"
_REFUSED: Final = {
    "context_length": _CONTEXT,
    "max_model_len": _CONTEXT,
    "gpu_memory_utilization": _BY_DEVICE,
    "gpu_layers": _BY_DEVICE,
    "memory_lock": _BY_DEVICE,
    "numa": _BY_DEVICE,
    "threads": _BY_DEVICE,
    "tensor_parallel_size": _BY_DEVICE,
    "pipeline_parallel_size": _BY_DEVICE,
    "batch_size": "leave it out: requests are answered one after the other",
    "max_num_batched_tokens": "leave it out: requests are answered one after the other",
    "quantization": "name a variant in model, such as qwen2.5-0.5b-instruct-generic-cpu",
    "enable_prefix_caching": "leave it out: each request is read anew",
    "enable_chunked_prefill": "leave it out: each request is read whole",
    "speculative_model": "leave it out: it has no draft models",
    "guided_decoding_backend": "leave it out: it has one of its own",
    "tool_call_parser": "leave it out: its catalogue says how a model writes its calls",
}


def _head(command: Command, binary: Binary, order: LaunchOrder) -> str:
    del binary
    if order.is_local:
        raise PlanError(
            f"{NAME} serves models of its catalogue, not files",
            cure="leave path out and name such a model; a folder of ONNX is run by provider onnx",
        )
    cache = str(Path(order.folder).parent / "foundry-local")
    command.words += [order.model, "--host", order.host, "--port", str(order.port)]
    command.words += ["--cache", cache, "--data", order.folder]
    command.folders += [cache, order.folder]
    if (order.options.get("max_num_seqs") or 1) > 1:
        command.notes.append("max_num_seqs: requests are answered one after the other, the others wait (manifest)")
    elif "max_num_seqs" in order.options or order.scenario:
        command.notes.append("max_num_seqs: 1, as always")
    if order.remote_code:
        command.notes.append(f"remote_code: {NAME} runs no code of a model (manifest)")
    return order.model


RECIPE: Final = Recipe(
    kind="foundry-local",
    entries=(Entry("python", ("-m", _MODULE)),),
    install={"*": install_line("foundry")},
    options=Options(NAME, (), _REFUSED, _SCENARIOS, elsewhere={"max_num_seqs": "always 1"}),
    head=_head,
    alone=True,
)


class FoundryLauncher(MadeLauncher):
    """Looks for a library instead of a program: in our Python, or in the one that ``FOUNDRY_LOCAL_PYTHON`` names."""

    def __init__(self, cache: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(RECIPE, cache)
        self._environment = os.environ if environment is None else environment

    def find(self, path: Sequence[Path]) -> Binary | None:
        """The Python that has the SDK, which takes what the program of ours does."""
        del path
        python = interpreter_with("foundry", FOUNDRY_PYTHON, self._environment)
        return Binary((python.path, str(_PROGRAM)), python.version, frozenset(("--port",))) if python else None


def open_foundry_local(cache: Path | None = None) -> FoundryLauncher:
    """Foundry Local by its SDK."""
    return FoundryLauncher(cache)
