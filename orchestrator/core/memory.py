"""How much memory a model needs on a server, and how much models may take of a device. Pure arithmetic; sizes are bytes.

A model needs its weights, a cache of keys and values for each token of each slot, and what the server itself takes. It is
an estimate: servers differ in what they keep, and models with sliding windows keep less cache than is reckoned here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from orchestrator.core.quantity import format_size

CACHE_BYTES: Final = 2
"""Of one key or value: servers keep them in 16 bits unless they are told otherwise."""
SERVER: Final = 457 * 2**20
"""What a server takes beside weights and cache: compute buffers and the process. The least that Ollama sets aside for a
runner (``discover/gpu.go``, ``cudaMinimumMemory``, 457 MiB)."""
ASSUMED_CONTEXT: Final = 4096
"""Tokens a slot where neither server nor manifest says: what Ollama takes with less than 24 GiB of graphics memory
(``docs/context-length.mdx``)."""
MAIN_SHARE: Final = 0.8
"""Of the main memory, for models, where the manifest sets no limit; the rest is the system's."""
METAL_SHARE: Final = 0.75
"""Of the main memory of Apple silicon: about what Metal lets a graphics processor take (``recommendedMaxWorkingSetSize``)."""
OWN_SHARE: Final = 0.9
"""Of the memory of a graphics card: vLLM's default of ``gpu_memory_utilization``."""
ORCHESTRATOR: Final = 80_000_000
"""What our own runtime may take: its target in docs/benchmarks.md."""
USUAL: Final = "q4_k_m"
"""The build that is meant where nobody names one."""
USUAL_OF: Final[Mapping[str, str]] = {
    "vllm": "bf16",
    "foundry-local": "int4",
    "mlx": "4bit",
    "openvino": "int4",
    "openvino-genai": "int4",
    "onnx": "int4",
}
"""What a name without a quantization usually is, by the make of its server."""

BITS: Final[Mapping[str, float]] = {
    "iq1_s": 2.0, "iq1_m": 2.15, "iq2_xxs": 2.38, "iq2_xs": 2.59, "iq2_s": 2.74, "iq2_m": 2.93,
    "q2_k_s": 2.97, "q2_k": 3.16, "iq3_xxs": 3.25, "iq3_xs": 3.5, "iq3_s": 3.66, "iq3_m": 3.76,
    "q3_k_s": 3.64, "q3_k_m": 4.0, "q3_k_l": 4.3, "iq4_xs": 4.46, "iq4_nl": 4.68, "q4_0": 4.65, "q4_k_s": 4.67,
    "q4_k_m": 4.89, "q4_1": 5.1, "q5_k_s": 5.57, "q5_0": 5.55, "q5_k_m": 5.7, "q5_1": 6.0, "q6_k": 6.56, "q8_0": 8.5,
    "3bit": 3.5, "4bit": 4.5, "6bit": 6.5, "8bit": 8.5, "int4": 4.5, "awq": 4.5, "gptq": 4.5, "mxfp4": 4.25,
    "nvfp4": 4.5, "int8": 8.5, "fp8": 8.0, "f16": 16.0, "bf16": 16.0, "f32": 32.0,
}  # fmt: skip
"""Bits a weight of each build. Those of GGUF: llama.cpp, tools/quantize/README.md, Llama 3.1 8B; the others: their bits, and
half a bit of scales where they have groups of 64 or 128."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is known of a model. ``builds``: bytes of its weights by build (``q4_k_m``, ``q8_0``, ``f16``, …); ``per_token``:
    bytes of cache a token, ``None`` where unknown; ``whole``: what the manifest says that it takes in all, which goes before
    every reckoning; ``cached``: whether it keeps a cache at all (most embedders do not)."""

    builds: Mapping[str, int] = field(default_factory=dict)
    per_token: int | None = None
    whole: int | None = None
    cached: bool = True

    def weights(self, build: str) -> int | None:
        """Bytes of the weights of a build; reckoned from its nearest known neighbours where it is not listed itself."""
        if build in self.builds:
            return self.builds[build]
        bits = BITS.get(build)
        known = sorted((BITS[name], size) for name, size in self.builds.items() if name in BITS)
        if bits is None or not known:
            return None
        below = [each for each in known if each[0] <= bits]
        above = [each for each in known if each[0] > bits]
        if not below or not above:
            near = (below or above)[-1 if below else 0]
            return round(near[1] * bits / near[0])
        (low, small), (high, large) = below[-1], above[0]
        return round(small + (large - small) * (bits - low) / (high - low))


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens a slot, and slots. ``assumed`` where nobody told the tokens."""

    context: int = ASSUMED_CONTEXT
    slots: int = 1
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """What a model takes on a server; it prints its own arithmetic. ``whole``: as the manifest says, not reckoned. ``share``:
    in words, the ``part`` of the device that its server sets aside, whatever the model: what that needs must have room in it."""

    weights: int
    cache: int = 0
    server: int = 0
    window: Window = Window()
    whole: bool = False
    cache_unknown: bool = False
    share: str = ""
    part: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.part if self.share else self.needed

    @property
    def needed(self) -> int:
        """What the model and all its slots need, whatever their server sets aside."""
        return self.weights + self.cache + self.server

    @property
    def least(self) -> int:
        """The same with one slot; 0 where its weights are not known."""
        return self.weights + self.cache // self.window.slots + self.server if self.weights else 0

    def __str__(self) -> str:
        if self.whole:
            return f"{format_size(self.total)} as the manifest says"
        if self.share:
            inside = f", for a need of {replace(self, share='', part=0)}" if self.weights else ""
            return f"{format_size(self.total)} = {self.share}{inside}"
        slots = f" x {self.window.slots} slots" if self.window.slots > 1 else ""
        tokens = f"{self.window.context} tokens{' assumed' if self.window.assumed else ''}{slots}"
        cache = "cache unknown" if self.cache_unknown else f"{format_size(self.cache)} cache ({tokens})"
        parts = [f"{format_size(self.weights)} weights", cache if self.cache or self.cache_unknown else ""]
        return f"{format_size(self.total)} = {' + '.join(filter(None, [*parts, f'{format_size(self.server)} server']))}"


def need_of(sizes: Sizes, build: str, window: Window, told: int | None = None) -> Need | None:
    """What a build takes with this window; ``told`` are the bytes of its weights where its server tells them. ``None`` where
    nothing is known of its size. Embedders keep no cache."""
    if sizes.whole is not None:
        return Need(sizes.whole, window=window, whole=True)
    weights = told or sizes.weights(build)
    if weights is None:
        return None
    cache = (sizes.per_token or 0) * window.context * window.slots
    return Need(weights, cache, SERVER, window, cache_unknown=sizes.cached and sizes.per_token is None)


SERVER_OF: Final = "the server of {}"
PINNED: Final = "{}, which is pinned"
Fit = Literal["fits", "tight", "never"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What models may take: of the ``main`` memory, and of cards with a memory of their ``own``; ``limit`` is what the
    manifest sets for all together. ``physical`` is all memory that there is. ``why`` says where the numbers come from."""

    main: int
    own: int
    physical: int
    limit: int | None = None
    why: str = ""

    @property
    def total(self) -> int:
        """All of it; servers share a large model out between both memories."""
        return self.main + self.own if self.limit is None else min(self.limit, self.main + self.own)

    def less(self, held: Mapping[str, int], told: str = SERVER_OF) -> Budget:
        """What is left beside those that hold these bytes, by their names; ``told`` says what a name holds them for."""
        taken = sum(held.values())
        if not taken:
            return self
        main, over = max(0, self.main - taken), max(0, taken - self.main)
        limit = None if self.limit is None else max(0, self.limit - taken)
        each = ", ".join(f"{format_size(size)} for {told.format(name)}" for name, size in held.items() if size)
        physical = max(0, self.physical - taken)
        return Budget(main, max(0, self.own - over), physical, limit, f"{self.why}, less {each}")

    def fit(self, need: Need | None) -> Fit:
        """``tight``: more than models should take, but no proof that it does not run; ``never``: more than the manifest's
        limit, or weights larger than all memory. What is unknown is not held against a model."""
        if need is None or need.total <= self.total:
            return "fits"
        beyond = need.total if need.whole or need.share else need.weights
        return "never" if self.limit is not None or beyond > self.physical else "tight"

    def __str__(self) -> str:
        return f"{format_size(self.total)} ({self.why})"


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a device: ``main``, the cards' ``own``, and whether its graphics processor works in the main one by Metal."""

    main: int
    own: int = 0
    metal: bool = False


def budget_of(memory: Memory, limit: int | None = None, part: float | None = None) -> Budget:
    """``limit`` and ``part`` are ``resources.max_memory_usage``, in bytes or as a share, for models and orchestrator
    together; without either the system keeps its usual part."""
    physical = memory.main + memory.own
    if part is not None:
        told = f"{part:.0%} of {_both(memory)}, less {format_size(ORCHESTRATOR)} for the orchestrator"
        most = max(0, round(physical * part) - ORCHESTRATOR)
        return Budget(memory.main, memory.own, physical, most, told)
    if limit is not None and limit - ORCHESTRATOR > physical:
        told = f"{_both(memory)}, all that there is, as max_memory_usage is {format_size(limit)}"
        return Budget(memory.main, memory.own, physical, limit - ORCHESTRATOR, told)
    if limit is not None:
        told = f"max_memory_usage {format_size(limit)}, less {format_size(ORCHESTRATOR)} for the orchestrator"
        return Budget(memory.main, memory.own, physical, max(0, limit - ORCHESTRATOR), told)
    share = METAL_SHARE if memory.metal else MAIN_SHARE
    own = f" and {OWN_SHARE:.0%} of {format_size(memory.own)} graphics memory" if memory.own else ""
    told = f"{share:.0%} of {format_size(memory.main)} memory{own}"
    return Budget(round(memory.main * share), round(memory.own * OWN_SHARE), physical, None, told)


def limited(memory: Memory, written: Any) -> Budget:
    """The budget under a manifest's `max_memory_usage`: bytes, a ``float`` for a share, or ``None``."""
    if isinstance(written, float):
        return budget_of(memory, part=written)
    return budget_of(memory, written)


def _both(memory: Memory) -> str:
    own = f" and {format_size(memory.own)} graphics memory" if memory.own else ""
    return f"{format_size(memory.main)} memory{own}"


def sizes_of(model: Mapping[str, Any]) -> Sizes:
    """Those of a model of a blueprint (a ``ModelSpec``)."""
    return Sizes(model["builds"], model["cache_per_token"], model["whole_memory"], model["kind"] != "embedding")


def kept(pinned: Mapping[str, int], room: int) -> dict[str, int]:
    """Of pinned models those that stay loaded together: the smallest first, so that as many as can be do."""
    found: dict[str, int] = {}
    for name, size in sorted(pinned.items(), key=lambda each: (each[1], each[0])):
        if sum(found.values()) + size <= room:
            found[name] = size
    return found
