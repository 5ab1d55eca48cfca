"""What a simulated server keeps: models on its disk, models that it could fetch, models in its memory. It reads no clock:
whoever carries it out says what time it is (seconds of any clock that only moves on)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from orchestrator.core.memory import BITS
from orchestrator.core.names import did_you_mean

Trouble = Literal["unknown", "disk-full", "wrong-digest", "cut", "stall", "no-memory"]
FAULTS: Final[Mapping[str, str]] = {
    "pull-cut": "the next pull breaks off after a quarter",
    "pull-stall": "the next pull stands still after a quarter",
    "pull-wrong-digest": "what the next pull brings is not what it should be",
    "load-fails": "the next load finds too little memory",
}
"""What can be armed, each once; a full disk and a full memory come of the store's own limits too."""
PIECES: Final = 8
"""In how many pieces a model comes."""
USUAL_SIZE: Final = 2_500_000_000
"""Bytes of a model whose name says no build."""
_BUILD: Final = re.compile(r"[-:](q[0-9]\w*|f16)$")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model: its size in bytes, and what a server tells of it."""

    name: str
    size: int = USUAL_SIZE
    quantization: str = "Q4_K_M"

    @classmethod
    def of(cls, name: str) -> StoredModel:
        """In the build that the name's ending says (``-q8_0``, ``-f16``), and of a size that goes with it."""
        found = _BUILD.search(name)
        bits = BITS.get(found[1]) if found else None
        if found is None or bits is None:
            return cls(name)
        return cls(name, round(USUAL_SIZE * bits / BITS["q4_k_m"]), found[1].upper())

    @property
    def digest(self) -> str:
        """Of its one large file."""
        return hashlib.sha256(self.name.encode()).hexdigest()


class StoreFault(Exception):
    """What went wrong in a store; each make has its own words for it."""

    def __init__(self, trouble: Trouble, model: str) -> None:
        super().__init__(f"{model}: {trouble}")
        self.trouble = trouble
        self.model = model


@dataclass
class ModelStore:
    """``installed`` is on the disk, ``library`` can be fetched. ``disk`` and ``memory`` are limits in bytes (``None``: none),
    ``most_loaded`` one in models: the one that was loaded first makes room. ``load_time`` is in seconds, ``pull_rate`` in
    bytes a second (0: no time passes). A model that is ``busy`` is unloaded once it no longer is. ``folder`` is where it says that
    its models are. ``context`` is in tokens, of a model whose load names none.
    """

    installed: dict[str, StoredModel]
    library: dict[str, StoredModel]
    disk: int | None = None
    memory: int | None = None
    most_loaded: int | None = None
    load_time: float = 0.0
    pull_rate: float = 0.0
    folder: str = "/cache"
    context: int = 4096

    def __post_init__(self) -> None:
        self.loaded: dict[str, int] = {}  # name -> context, the oldest first
        self.loading: dict[str, tuple[float, int]] = {}  # name -> when it is loaded, context
        self.failed: dict[str, Trouble] = {}  # names whose last load or pull failed
        self.came: dict[str, int] = {}  # name -> bytes of a pull that is not whole
        self.left: list[str] = []  # names of pulls that were left before the end
        self.busy: set[str] = set()
        self.forwarded: set[str] = set()  # names of models that another machine serves
        self.leaving: set[str] = set()
        self.renamed: dict[str, str] = {}  # what the server calls a model that was pulled under another name
        self._armed: list[str] = []

    def arm(self, *faults: str) -> None:
        """Let each strike once, in this order. Raises ``ValueError`` for one that there is not."""
        for fault in faults:
            if fault not in FAULTS:
                raise ValueError(
                    f"no fault of a store is called {fault!r}; {did_you_mean(fault, FAULTS) or list(FAULTS)}"
                )
        self._armed.extend(faults)

    def find(self, name: str) -> StoredModel | None:
        """An installed model, with or without Ollama's ``:latest``, or by the name that it was pulled under."""
        return _named(self.installed, self.renamed.get(name, name))

    def need(self, name: str) -> StoredModel:
        """The same. Raises ``StoreFault`` where there is none."""
        model = self.find(name)
        if model is None:
            raise StoreFault("unknown", name)
        return model

    # -- memory -----------------------------------------------------------------------------------------------------

    def load(self, name: str, context: int, now: float) -> bool:
        """Begin to load; false where it is there with this context already. Raises ``StoreFault``, at once or, for those
        who look at the state only, in ``failed`` once it is over."""
        model = self.need(name)
        if self.loaded.get(model.name) == context or model.name in self.loading:
            return False
        self.failed.pop(model.name, None)
        self._make_room()
        if self._struck("load-fails") or model.size > self.free_memory(model.name):
            self.failed[model.name] = "no-memory"
            raise StoreFault("no-memory", model.name)
        self.loaded.pop(model.name, None)
        self.loading[model.name] = (now + self.load_time, context)
        self.settle(now)
        return True

    def free_memory(self, name: str = "") -> float:
        """Bytes that are free, once this model is not in it."""
        used = sum(self.installed[each].size for each in {*self.loaded, *self.loading} - {name})
        return float("inf") if self.memory is None else self.memory - used

    def wait(self, name: str, now: float) -> float:
        """Seconds until it is loaded, 0 where it is, or is not being loaded."""
        model = self.find(name)
        ready, _ = self.loading.get(model.name if model else name, (now, 0))
        return max(0.0, ready - now)

    def unload(self, name: str) -> None:
        """Free its memory, once it is not busy. Raises ``StoreFault``."""
        model = self.need(name)
        self.loading.pop(model.name, None)
        self.leaving.add(model.name)
        self.settle(float("-inf"))

    def settle(self, now: float) -> None:
        """What was begun and is over by ``now``."""
        for name, (ready, context) in list(self.loading.items()):
            if ready <= now:
                del self.loading[name]
                self.loaded[name] = context
        for name in self.leaving - self.busy:
            self.loaded.pop(name, None)
        self.leaving &= self.busy

    def _make_room(self) -> None:
        there = [*self.loaded, *self.loading]
        if self.most_loaded is not None and len(there) >= self.most_loaded:
            self.unload(there[0])

    # -- disk -------------------------------------------------------------------------------------------------------

    def wanted(self, name: str) -> StoredModel:
        """What a pull of this name would fetch. Raises ``StoreFault``."""
        model = _named(self.library, name) or self.find(name)
        if model is None:
            raise StoreFault("unknown", name)
        return model

    def pulling(self, name: str) -> Generator[int, None, None]:
        """Fetch a model piece by piece: the bytes that have come so far. It goes on where an earlier one was left; who
        stops taking leaves it as it is. Raises ``StoreFault``."""
        model = self.wanted(name)
        self.failed.pop(model.name, None)
        breaks = next((fault for fault in ("cut", "stall") if self._struck(f"pull-{fault}")), "")
        begun = self.came.get(model.name, 0)
        while (come := self.came.get(model.name, 0)) < model.size:
            come = min(model.size, come + max(1, model.size // PIECES))
            self._check_disk(model, come)
            self.came[model.name] = come
            try:
                yield come
            except GeneratorExit:
                self.left.append(model.name)
                raise
            if breaks and come - begun >= model.size // 4:
                raise self._failure("cut" if breaks == "cut" else "stall", model)

    def install(self, name: str) -> StoredModel:
        """Verify what has come and put it in its place. Raises ``StoreFault``: a broken file is thrown away."""
        model = self.wanted(name)
        self.came.pop(model.name, None)
        if self._struck("pull-wrong-digest"):
            raise self._failure("wrong-digest", model)
        name = self.renamed.get(model.name, model.name)
        self.installed[name] = replace(model, name=name)
        return self.installed[name]

    def remove(self, name: str) -> None:
        """Delete it, also from memory. Raises ``StoreFault``."""
        model = self.need(name)
        for kept in (self.loaded, self.loading, self.installed):
            kept.pop(model.name, None)

    def _check_disk(self, model: StoredModel, come: int) -> None:
        used = sum(each.size for each in self.installed.values())
        if self.disk is not None and used + come > self.disk:
            raise self._failure("disk-full", model)

    def _failure(self, trouble: Trouble, model: StoredModel) -> StoreFault:
        self.failed[model.name] = trouble
        return StoreFault(trouble, model.name)

    def _struck(self, fault: str) -> bool:
        """Whether this fault is the next one that is armed for what is done."""
        if fault not in self._armed:
            return False
        self._armed.remove(fault)
        return True


def stored(models: Iterable[str], library: Iterable[str | StoredModel] = ()) -> ModelStore:
    """A store with these models on its disk, and those that it can fetch."""
    fetched = [each if isinstance(each, StoredModel) else StoredModel(each) for each in library]
    return ModelStore({name: StoredModel.of(name) for name in models}, {model.name: model for model in fetched})


def _named(models: dict[str, StoredModel], name: str) -> StoredModel | None:
    return models.get(name) or models.get(f"{name}:latest") or models.get(name.removesuffix(":latest"))
