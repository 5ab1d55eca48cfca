"""What a step of a plan does: one frozen class per action. A class says what it is called, never how it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from orchestrator.core.address import Address, AddressKind
from orchestrator.core.hosts import in_url
from orchestrator.core.in_line import in_line
from orchestrator.plan.binding import Bound

Mark = Literal["+", "~", "-"]


@dataclass(frozen=True, slots=True)
class Operation:
    """An action on one part, by the part's ``name``. ``mark``: ``+`` adds, ``~`` changes, ``-`` takes away."""

    kind: ClassVar[AddressKind]
    mark: ClassVar[Mark]
    name: str

    @property
    def address(self) -> Address:
        """The part that it acts on."""
        return Address.of(self.kind, self.name)

    def does(self) -> str:
        """In a few words."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class StartServer(Operation):
    """Start a model server, and wait until it answers with a token."""

    kind: ClassVar[AddressKind] = "server"
    mark: ClassVar[Mark] = "+"
    program: str
    model: str = ""
    choice: str = ""

    @property
    def served(self) -> str:
        """The program, and what it is started with."""
        return f"{self.program} with {self.model}" if self.model else self.program

    def does(self) -> str:
        return f"start {self.served}" + (f"; {self.choice}" if self.choice else "")


@dataclass(frozen=True, slots=True)
class RestartServer(StartServer):
    """End a model server that we started, and start it anew; ``apart`` says why not while the old one serves."""

    mark: ClassVar[Mark] = "~"
    apart: str = ""

    def does(self) -> str:
        told = f"restart {self.served}" + (f", ended first: {self.apart}" if self.apart else "")
        return told + (f"; {self.choice}" if self.choice else "")


@dataclass(frozen=True, slots=True)
class RotateServer(StartServer):
    """Start a model server anew beside its old process, which is ended when all that it had begun is done."""

    mark: ClassVar[Mark] = "~"

    def does(self) -> str:
        told = f"start {self.served} anew beside the one that serves, which ends when its requests are done"
        return told + (f"; {self.choice}" if self.choice else "")


@dataclass(frozen=True, slots=True)
class AddServer(StartServer):
    """Start one more process of a model server, which shares the work."""

    def does(self) -> str:
        return f"start one more {self.served}"


@dataclass(frozen=True, slots=True)
class StopServer(Operation):
    """End a model server that we started, once nothing uses it any more."""

    kind: ClassVar[AddressKind] = "server"
    mark: ClassVar[Mark] = "-"

    def does(self) -> str:
        return "stop"


@dataclass(frozen=True, slots=True)
class EndServer(StopServer):
    """End a model server that we started, or only these ``processes`` of it, before another one starts in its place; ``why`` both
    cannot be there."""

    why: str = ""
    processes: tuple[str, ...] = ()

    def does(self) -> str:
        what = f"end {' and '.join(self.processes)}" if self.processes else "end"
        return f"{what} first: {self.why}"


@dataclass(frozen=True, slots=True)
class BindModel(Operation):
    """Use these endpoints for a model."""

    kind: ClassVar[AddressKind] = "model"
    mark: ClassVar[Mark] = "+"
    bound: Bound

    def does(self) -> str:
        if not self.bound.endpoints:
            return f"bind to the {self.bound.starting} that is started"
        first, *others = self.bound.endpoints
        more = f", and {len(others)} more" if others else ""
        why = f"; {self.bound.why}" if self.bound.why else ""
        rejected = f" ({'; '.join(self.bound.rejected)})" if self.bound.rejected else ""
        return in_line(f"bind to {first} as {first.model}{more}{why}{rejected}")


@dataclass(frozen=True, slots=True)
class RebindModel(BindModel):
    """Use other endpoints than before for a model."""

    mark: ClassVar[Mark] = "~"


@dataclass(frozen=True, slots=True)
class ServeWithoutModel(Operation):
    """Go on without a model; what can answer without it does."""

    kind: ClassVar[AddressKind] = "model"
    mark: ClassVar[Mark] = "~"
    bound: Bound

    def does(self) -> str:
        return "go on without it"


@dataclass(frozen=True, slots=True)
class FetchModel(ServeWithoutModel):
    """Have a server of this device bring a model that is missing; whoever applies sees to it first, and plans again."""

    mark: ClassVar[Mark] = "+"
    fetched: str

    def does(self) -> str:
        return in_line(self.fetched)


@dataclass(frozen=True, slots=True)
class ForgetModel(Operation):
    """Stop using a model."""

    kind: ClassVar[AddressKind] = "model"
    mark: ClassVar[Mark] = "-"

    def does(self) -> str:
        return "stop using it"


@dataclass(frozen=True, slots=True)
class OpenTool(Operation):
    """Open a tool."""

    kind: ClassVar[AddressKind] = "tool"
    mark: ClassVar[Mark] = "+"
    make: str

    def does(self) -> str:
        return f"open ({self.make})"


@dataclass(frozen=True, slots=True)
class ReplaceTool(OpenTool):
    """Open a tool anew beside the old one, which requests in flight still use."""

    mark: ClassVar[Mark] = "~"

    def does(self) -> str:
        return f"open anew ({self.make})"


@dataclass(frozen=True, slots=True)
class CloseTool(Operation):
    """Close a tool once nothing uses it any more."""

    kind: ClassVar[AddressKind] = "tool"
    mark: ClassVar[Mark] = "-"

    def does(self) -> str:
        return "close"


@dataclass(frozen=True, slots=True)
class IndexKnowledge(Operation):
    """Index a set of documents."""

    kind: ClassVar[AddressKind] = "knowledge"
    mark: ClassVar[Mark] = "+"
    path: str

    def does(self) -> str:
        return f"index {self.path}"


@dataclass(frozen=True, slots=True)
class ReindexKnowledge(IndexKnowledge):
    """Index a set of documents again."""

    mark: ClassVar[Mark] = "~"


@dataclass(frozen=True, slots=True)
class CloseKnowledge(Operation):
    """Close a set of documents once nothing uses it any more."""

    kind: ClassVar[AddressKind] = "knowledge"
    mark: ClassVar[Mark] = "-"

    def does(self) -> str:
        return "close"


@dataclass(frozen=True, slots=True)
class StartAgent(Operation):
    """Make an agent ready."""

    kind: ClassVar[AddressKind] = "agent"
    mark: ClassVar[Mark] = "+"

    def does(self) -> str:
        return "start"


@dataclass(frozen=True, slots=True)
class ReplaceAgent(StartAgent):
    """Make an agent anew; requests in flight keep the old one."""

    mark: ClassVar[Mark] = "~"

    def does(self) -> str:
        return "replace"


@dataclass(frozen=True, slots=True)
class RemoveAgent(Operation):
    """Leave an agent out of the new revision."""

    kind: ClassVar[AddressKind] = "agent"
    mark: ClassVar[Mark] = "-"

    def does(self) -> str:
        return "remove"


@dataclass(frozen=True, slots=True)
class FitRouter(Operation):
    """Let a router learn from the agents that it may choose."""

    kind: ClassVar[AddressKind] = "router"
    mark: ClassVar[Mark] = "+"
    strategy: str

    def does(self) -> str:
        return f"fit ({self.strategy})"


@dataclass(frozen=True, slots=True)
class RefitRouter(FitRouter):
    """Let a router learn again."""

    mark: ClassVar[Mark] = "~"

    def does(self) -> str:
        return f"fit again ({self.strategy})"


@dataclass(frozen=True, slots=True)
class RemoveRouter(Operation):
    """Leave a router out of the new revision."""

    kind: ClassVar[AddressKind] = "router"
    mark: ClassVar[Mark] = "-"

    def does(self) -> str:
        return "remove"


@dataclass(frozen=True, slots=True)
class OpenDoor(Operation):
    """Listen on a port of the deployment's own."""

    kind: ClassVar[AddressKind] = "endpoint"
    mark: ClassVar[Mark] = "+"
    host: str
    port: int

    def does(self) -> str:
        return f"listen on {in_url(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class CloseDoor(Operation):
    """Stop listening on a port of the deployment's own."""

    kind: ClassVar[AddressKind] = "endpoint"
    mark: ClassVar[Mark] = "-"

    def does(self) -> str:
        return "stop listening on its own port"


@dataclass(frozen=True, slots=True)
class ActivateRevision(Operation):
    """Let requests that come from now on go to what the steps before have made."""

    kind: ClassVar[AddressKind] = "deployment"
    mark: ClassVar[Mark] = "+"

    def does(self) -> str:
        return "take requests"


@dataclass(frozen=True, slots=True)
class SwitchRevision(ActivateRevision):
    """The same where another revision served until now."""

    mark: ClassVar[Mark] = "~"

    def does(self) -> str:
        return "send new requests to the new version"


@dataclass(frozen=True, slots=True)
class DrainRevision(Operation):
    """Let requests in flight finish on the revision that they began on."""

    kind: ClassVar[AddressKind] = "deployment"
    mark: ClassVar[Mark] = "~"
    revision: int

    def does(self) -> str:
        return f"let requests in flight finish on revision {self.revision}"


@dataclass(frozen=True, slots=True)
class TakeDown(Operation):
    """Take no new requests; nothing is desired under this name any more."""

    kind: ClassVar[AddressKind] = "deployment"
    mark: ClassVar[Mark] = "-"

    def does(self) -> str:
        return "take no new requests"
