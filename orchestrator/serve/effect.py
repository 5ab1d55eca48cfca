"""What the scheduler asks for. Each effect prints itself as a line, for golden traces."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from orchestrator.core.errors import ModelError, RunError
from orchestrator.core.record import record
from orchestrator.deploy.endpoint import EndpointSpec, EndpointState
from orchestrator.ports.provider import Target

StartKind = Literal["first", "retry", "fallback"]


@record
class Start:
    """Send the call to the endpoint now, at ``target``. ``kind`` says whether it was there before, or elsewhere; ``for_model``
    is how many seconds it waited because the model was not in memory. ``window``: tokens of a request, where its server told
    them when it loaded the model. ``passed``: those before it in the call's order that are not asked, each with its state.
    ``streams``: ask for it in pieces, also where it is wanted whole: they show that the server works. ``asks``: the window of its
    model is not known, and is to be asked before anything is sent that may be cut. ``beside``: the candidate that it is another
    process of, where it came after the call."""

    call: int
    spec: EndpointSpec
    kind: StartKind
    target: Target
    for_model: float = 0.0
    window: int | None = None
    passed: tuple[str, ...] = ()
    streams: bool = False
    asks: bool = False
    beside: str = ""

    def __str__(self) -> str:
        return f"start {self.call} on {self.spec.id} ({self.kind})"


@dataclass(frozen=True, slots=True)
class Fail:
    """Tell the caller that there will be no answer."""

    call: int
    error: RunError

    def __str__(self) -> str:
        return f"fail {self.call}: {type(self.error).__name__}: {self.error.message}"


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the running attempt and report it as finished with ``error``."""

    call: int
    error: RunError

    def __str__(self) -> str:
        return f"cancel {self.call}: {type(self.error).__name__}: {self.error.message}"


@dataclass(frozen=True, slots=True)
class RetryAt:
    """The call waits until then and tries again; nothing to do but to tell."""

    call: int
    endpoint: str
    at: float
    error: ModelError

    def __str__(self) -> str:
        return f"retry {self.call} at {self.at:.3f} after {type(self.error).__name__} on {self.endpoint}"


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask the endpoint on a fresh connection whether it lives, and report the answer."""

    spec: EndpointSpec

    def __str__(self) -> str:
        return f"probe {self.spec.id}"


@dataclass(frozen=True, slots=True)
class Check:
    """Ask the endpoint for one token, and report what came of it. ``epoch`` is that of the endpoint."""

    spec: EndpointSpec
    epoch: int
    timeout: float

    def __str__(self) -> str:
        return f"check {self.spec.id}"


@dataclass(frozen=True, slots=True)
class Look:
    """See within ``timeout`` seconds whether the endpoint's server works although its calls are silent, and report it.
    ``epoch`` is that of the endpoint."""

    spec: EndpointSpec
    epoch: int
    timeout: float

    def __str__(self) -> str:
        return f"look at {self.spec.id}"


@dataclass(frozen=True, slots=True)
class Relist:
    """Have somebody look what the endpoint's server lists now: it says that it has not the model that it listed."""

    endpoint: str

    def __str__(self) -> str:
        return f"relist {self.endpoint}"


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Tell that an endpoint's state changed. ``reason`` is the fault that caused it, or empty."""

    endpoint: str
    state: EndpointState
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.endpoint} is {self.state}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class Load:
    """Have the model brought into memory, through its provider's ``Loader``, and report what came of it. ``keep``: the server
    may unload it by itself after so many seconds of rest, where it can; later than we would, for the day that we are gone."""

    model: str
    spec: EndpointSpec
    reason: str
    keep: float = inf

    def __str__(self) -> str:
        return f"load {self.model}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Unload:
    """Have the memory of a model freed, and report it."""

    model: str
    spec: EndpointSpec
    reason: str

    def __str__(self) -> str:
        return f"unload {self.model}: {self.reason}"


Effect = Start | Fail | Cancel | RetryAt | Probe | Check | Look | Relist | StateChanged | Load | Unload
